#!/usr/bin/env node
// tocafarm: the command line. Every command ends with 0 or the exit status of an error code, and
// every error is one line on stderr.
import { Command, CommanderError } from "commander";
import { asFarmError, errorCodes, FarmError } from "../common/errors.js";
import { packageVersion } from "../common/version.js";
import { addBatches } from "./commands/batches.js";
import { addDoctor } from "./commands/doctor.js";
import { addProcesses } from "./commands/processes.js";
import { addRender } from "./commands/render.js";
import { addSubmit } from "./commands/submit.js";
import { addUp } from "./commands/up.js";
import { addVerify } from "./commands/verify.js";
import { addWatch } from "./commands/watch.js";

function program(): Command {
  const root = new Command("tocafarm")
    .description("the render farm for diffusion-transformer video")
    .version(packageVersion())
    .helpCommand(false)
    .exitOverride()
    .configureOutput({ writeErr: () => {} }) // told in one line below
    .enablePositionalOptions()
    .addHelpText("after", '\n"tocafarm <command> --help" shows its options and examples.');
  for (const add of [
    addRender,
    addUp,
    addSubmit,
    addWatch,
    addBatches,
    addProcesses,
    addVerify,
    addDoctor,
  ]) {
    add(root);
  }
  return root;
}

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

await main(process.argv.slice(2));
