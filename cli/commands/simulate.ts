// `tocafarm simulate`: a farm that is not there, in virtual time: what quotas, weights, priorities
// and more devices would do, answered by the scheduler that real farms run.
import { readFile, writeFile } from "node:fs/promises";
import { type Command, Option } from "commander";
import { FarmError } from "../../common/errors.js";
import { htmlPlot, svgPlot } from "../../simulation/plot/page.js";
import { quickStudy } from "../../simulation/study/quick.js";
import type { StudyResult } from "../../simulation/study/result.js";
import { runStudy } from "../../simulation/study/run.js";
import { readStudy, type Study } from "../../simulation/study/study.js";
import { numberOption } from "../args.js";
import { printJson } from "../json-output.js";
import { resultText } from "../simulation-report.js";

interface SimulateOptions {
  readonly devices?: number;
  readonly clips?: number;
  readonly secondsPerClip?: number;
  readonly tenants?: string;
  readonly faults?: number;
  readonly seed?: number;
  readonly json?: true;
  readonly plot?: string;
}

/** The quick way to say what a file says at length. */
const quick = ["devices", "clips", "secondsPerClip", "tenants", "faults"] as const;

const examples = `
Examples:
  tocafarm simulate --devices 40 --clips 2000 --seconds-per-clip 30 --tenants film:2,ads:1
  tocafarm simulate --devices 64 --clips 5000 --faults 0.2 --plot farm.html
  tocafarm simulate studio.json --json
docs/simulate.md says what a file may hold.`;

export function addSimulate(program: Command): void {
  program
    .command("simulate")
    .description("try quotas and farm sizes on a farm in thought")
    .argument("[file]", "a study as JSON; without one, the options below say it")
    .addOption(count("--devices <n>", "devices of one kind", 20_000))
    .addOption(count("--clips <n>", "clips, shared alike between the tenants", 1_000_000))
    .addOption(
      new Option("--seconds-per-clip <s>", "device time of one clip").argParser(
        numberOption("--seconds-per-clip", { min: 0.01, max: 1e6, fractional: true }),
      ),
    )
    .option("--tenants <name:weight,...>", "who submits, and with which weight")
    .addOption(
      new Option(
        "--faults <rate>",
        "crashes of each agent and engine, breaks of each link, and leaders lost, an hour",
      ).argParser(numberOption("--faults", { min: 0, max: 60, fractional: true })),
    )
    .addOption(
      new Option("--seed <n>", "another run of the same farm").argParser(
        numberOption("--seed", { min: 0, max: 2 ** 31 }),
      ),
    )
    .option("--json", "print JSON")
    .option("--plot <file>", "write a plot, .svg or .html")
    .addHelpText("after", examples)
    .action(simulate);
}

function count(flags: string, description: string, max: number): Option {
  const name = flags.split(" ")[0] ?? flags;
  return new Option(flags, description).argParser(numberOption(name, { min: 1, max }));
}

async function simulate(file: string | undefined, options: SimulateOptions): Promise<void> {
  const draw = plotter(options.plot);
  const study = await studyOf(file, options);
  const result = runStudy(options.seed === undefined ? study : { ...study, seed: options.seed });
  if (options.plot !== undefined) await writeFile(options.plot, draw(result));
  if (options.json) printJson(result);
  else process.stdout.write(`${resultText(result)}\n`);
}

/** Checked before the run, which may take minutes. */
function plotter(file: string | undefined): (result: StudyResult) => string {
  if (file === undefined || file.endsWith(".html")) return htmlPlot;
  if (file.endsWith(".svg")) return svgPlot;
  throw new FarmError("INVALID_ARGUMENT", `--plot is ${file}; a name in .svg or .html is wanted`);
}

async function studyOf(file: string | undefined, options: SimulateOptions): Promise<Study> {
  const given = quick.find((name) => options[name] !== undefined);
  if (file === undefined) return quickStudy(options);
  if (given !== undefined) {
    throw new FarmError(
      "INVALID_ARGUMENT",
      `${file} says what is simulated, and so does ${given}; give one`,
    );
  }
  return readStudy(await readJson(file));
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    const code = error.code === "ENOENT" ? "NOT_FOUND" : "IO";
    throw new FarmError(code, `study ${file} cannot be read: ${error.message}`);
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new FarmError("INVALID_ARGUMENT", `study ${file} is no JSON: ${reason}`, { cause });
  }
}
