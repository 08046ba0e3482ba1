#!/usr/bin/env node
// tocafarm: the command line. Every command ends with 0 or the exit status of an error code, and
// every error is one line on stderr.
import { Command, CommanderError } from "commander";
import { asFarmError, errorCodes, FarmError } from "../common/errors.js";
import { packageVersion } from "../common/version.js";
import { addBatches } from "./commands/batches.js";
import { addCalibrate } from "./commands/calibrate.js";
import { addClips } from "./commands/clips.js";
import { addCompare } from "./commands/compare.js";
import { addDoctor } from "./commands/doctor.js";
import { addEstimate } from "./commands/estimate.js";
import { addProcesses } from "./commands/processes.js";
import { addQueue } from "./commands/queue.js";
import { addRender } from "./commands/render.js";
import { addSimulate } from "./commands/simulate.js";
import { addSubmit } from "./commands/submit.js";
import { addUp } from "./commands/up.js";
import { addVerify } from "./commands/verify.js";
import { addWatch } from "./commands/watch.js";
import { addWorkers } from "./commands/workers.js";

function program(): Command {
  const root = new Command("tocafarm")
    .description("the render farm for diffusion-transformer video")
    .version(packageVersion())
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} }) // told in one line below
    .configureHelp({ subcommandTerm })
    .enablePositionalOptions()
    .addHelpText("after", '\n"tocafarm <command> --help" shows its options and examples.');
  for (const [heading, commands] of groups) {
    root.commandsGroup(heading);
    for (const add of commands) add(root);
  }
  return root;
}

/** All of them have options; to say so on every line would only make the lines longer. */
function subcommandTerm(command: Command): string {
  const names = command.registeredArguments.map((argument) =>
    argument.required ? `<${argument.name()}>` : `[${argument.name()}]`,
  );
  return [command.name(), ...names].join(" ");
}

/** The commands by what they are about, in the order of the help. */
const groups: readonly (readonly [heading: string, readonly ((root: Command) => void)[]])[] = [
  ["Render:", [addRender, addUp, addSubmit, addWatch, addEstimate, addCompare, addCalibrate]],
  ["Batches:", [addBatches, addQueue]],
  ["Clips:", [addClips]],
  ["Farm:", [addWorkers, addProcesses, addSimulate]],
  ["This machine:", [addVerify, addDoctor]],
];

async function main(argv: readonly string[]): Promise<void> {
  const root = program();
  if (argv.length === 0) {
    root.outputHelp();
    return;
  }
  try {
    await root.parseAsync(argv, { from: "user" });
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return; // --help, --version
    const error = thrown instanceof CommanderError ? usageError(thrown) : asFarmError(thrown);
    process.stderr.write(`tocafarm: ${error.code}: ${error.message.replace(/\s*\n\s*/g, " ")}\n`);
    process.exitCode = errorCodes[error.code].exit;
  }
}

/** Commander's words, which name the flag and suggest the nearest one. */
function usageError({ message }: CommanderError): FarmError {
  return new FarmError("INVALID_ARGUMENT", message.replace(/^error: /, ""));
}

/** Who reads no further, as `head` does, has had enough; what is under way still ends in order. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code !== "EPIPE") throw error;
}

process.stdout.on("error", ignoreClosedPipe);
process.stderr.on("error", ignoreClosedPipe);
await main(process.argv.slice(2));
