// `tocafarm doctor`: whether this machine has what a farm needs, and what to do where it has not.
import type { Command } from "commander";
import { defaultDataFolder } from "../../common/paths.js";
import { printJson } from "../json-output.js";
import { type Finding, findings } from "../machine-checks.js";
import { type Column, table } from "../table.js";

interface DoctorOptions {
  readonly data?: string;
  readonly json?: true;
}

const columns: readonly Column<Finding>[] = [
  { title: "what", text: ({ what }) => what },
  { title: "", text: ({ status }) => status },
  { title: "found", text: ({ found }) => found },
  { title: "to do", text: ({ remedy }) => remedy },
];

export function addDoctor(program: Command): void {
  program
    .command("doctor")
    .description("check this machine and say what is missing")
    .option("--data <dir>", "data folder to check [TOCAFARM_DATA, or ~/.local/share/tocafarm]")
    .option("--json", "print JSON")
    .addHelpText("after", "\nExamples:\n  tocafarm doctor\n  tocafarm doctor --json")
    .action(async (options: DoctorOptions) => {
      const found = await findings(options.data ?? defaultDataFolder(process.env));
      if (options.json) printJson(found);
      else process.stdout.write(`${table(columns, found)}\n`);
      if (found.some(({ status }) => status === "missing")) process.exitCode = 1;
    });
}
