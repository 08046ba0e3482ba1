// `tocafarm verify`: holds this build against golden cases. Numbers are compared by the native
// runner; what happens to text before the tokenizer is compared here.
import { type Command, Option } from "commander";
import { FarmError } from "../../common/errors.js";
import { readGoldenCase } from "../golden-case.js";
import { type GoldenRow, type RunnerOptions, runNativeCase } from "../golden-runner.js";
import { checkText } from "../golden-text.js";
import { interruptible } from "../interrupt.js";
import { printJson } from "../json-output.js";
import { type Column, table } from "../table.js";

interface VerifyOptions extends RunnerOptions {
  readonly json?: true;
}

const examples = `
Examples:
  tocafarm verify test/golden/stdit3-rflow-toca test/golden/prompt-cleaning
  tocafarm verify models/demo-reference/*
  tocafarm verify --model models/demo --dtype bf16 models/demo-reference/red-circle`;

export function addVerify(program: Command): void {
  program
    .command("verify")
    .description("compare this build with golden cases")
    .argument("<case...>", "folders of cases")
    .option("--device <name>", "cpu", "cpu")
    .addOption(
      new Option("--dtype <type>", "precision of the engine")
        .choices(["fp32", "bf16"])
        .default("fp32"),
    )
    .option("--model <dir>", "instead of the model that a case names")
    .option("--json", "print the rows as JSON")
    .addHelpText("after", examples)
    .action((folders: readonly string[], options: VerifyOptions) =>
      interruptible((signal) => verify(folders, options, signal)),
    );
}

const columns: readonly Column<GoldenRow>[] = [
  { title: "case", text: (row) => row.case },
  { title: "what", text: (row) => row.what },
  { title: "largest error", align: "right", text: (row) => measure(row.error, row.unit) },
  { title: "bound", align: "right", text: (row) => measure(row.bound, row.unit) },
  { title: "selections differ", align: "right", text: selections },
  { title: "result", text: (row) => (row.passed ? "pass" : "FAIL") },
  { title: "note", text: (row) => row.note },
];

function measure(value: number | null, unit: string): string {
  if (value === null) return "-";
  if (unit === "dB") return `${value.toFixed(1)} dB`;
  return unit === "count" ? value.toFixed(0) : value.toExponential(1);
}

/** Rows of token selections that differ, and how many of those only within a tie. */
function selections(row: GoldenRow): string {
  if (!row.what.includes("selection")) return "-";
  const tied = row.selectionsExcused > 0 ? ` (${row.selectionsExcused} tied)` : "";
  return `${row.error ?? 0}${tied}`;
}

async function verify(
  folders: readonly string[],
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<void> {
  const rows: GoldenRow[] = [];
  for (const folder of folders) {
    if (!options.json && process.stderr.isTTY) process.stderr.write(`\r\x1b[K${folder} ...`);
    rows.push(...(await checkCase(folder, options, signal)));
  }
  if (!options.json && process.stderr.isTTY) process.stderr.write("\r\x1b[K");
  const failed = rows.filter((row) => !row.passed).length;
  if (options.json) printJson(rows);
  else {
    const summary = `${rows.length - failed} passed, ${failed} failed`;
    process.stdout.write(`${table(columns, rows)}\n${summary}\n`);
  }
  if (failed > 0) process.exitCode = 1;
}

async function checkCase(
  folder: string,
  options: VerifyOptions,
  signal: AbortSignal,
): Promise<readonly GoldenRow[]> {
  const golden = await readGoldenCase(folder);
  const text = checkText(golden);
  if (golden.kind === "prompt-cleaning") return text;
  const rows = await runNativeCase(golden, options, signal);
  if (rows.length + text.length === 0) {
    throw new FarmError("INTERNAL", `golden case ${folder} was compared with nothing`);
  }
  return [...text, ...rows];
}
