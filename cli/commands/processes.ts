// `tocafarm coordinator` and `tocafarm worker`: the farm's own programs under one name. Their flags
// are theirs: all arguments go through, --help too.
import { fork } from "node:child_process";
import path from "node:path";
import type { Command } from "commander";
import { packageRoot } from "../../common/paths.js";

const programs = [
  ["coordinator", "run a coordinator alone; its --help has its flags"],
  ["worker", "run a worker alone; its --help has its flags"],
] as const;

export function addProcesses(program: Command): void {
  for (const [name, description] of programs) {
    program
      .command(name)
      .description(description)
      .helpOption(false)
      .allowUnknownOption()
      .allowExcessArguments()
      .argument("[flags...]")
      .action((flags: readonly string[]) => runProgram(name, flags));
  }
}

/** Runs until the program ends, hands signals on, and ends with its exit status. */
async function runProgram(name: string, flags: readonly string[]): Promise<void> {
  const main = path.join(packageRoot(), "dist", name, "main.js");
  const child = fork(main, flags, { stdio: "inherit" });
  const forward = (signal: NodeJS.Signals) => child.kill(signal);
  process.on("SIGTERM", forward);
  // The terminal sends Ctrl-C to the child as well: here it only must not end the parent first.
  process.on("SIGINT", () => {});
  process.exitCode = await new Promise<number>((resolve) => {
    child.once("exit", (status, signal) => resolve(status ?? (signal === null ? 1 : 128)));
  });
}
