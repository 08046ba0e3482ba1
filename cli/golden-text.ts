// What golden cases say of text: how a prompt is cleaned, and how scores are appended to it.
import { FarmError } from "../common/errors.js";
import { appendScores, cleanPrompt } from "../engine/prompt.js";
import { cleanOnce } from "../engine/prompt-clean.js";
import { type GoldenCase, isRecord } from "./golden-case.js";
import type { GoldenRow } from "./golden-runner.js";
import { shortened } from "./table.js";

/** One row for each thing that was compared; none for a case without text. */
export function checkText(golden: GoldenCase): readonly GoldenRow[] {
  if (golden.kind === "prompt-cleaning") return checkCleaning(golden);
  return golden.kind === "pipeline" ? checkPipelinePrompt(golden) : [];
}

function checkCleaning(golden: GoldenCase): readonly GoldenRow[] {
  const { strings } = golden.fields;
  if (!Array.isArray(strings) || strings.length === 0) throw malformed(golden, "strings");
  const cases = strings.map((entry: unknown) => ({
    input: text(golden, entry, "input"),
    once: text(golden, entry, "once"),
    output: text(golden, entry, "output"),
  }));
  return [
    row(golden, "one pass", cases, ({ input, once }) => [cleanOnce(input), once]),
    row(golden, "cleaned", cases, ({ input, output }) => [cleanPrompt(input), output]),
  ];
}

function checkPipelinePrompt(golden: GoldenCase): readonly GoldenRow[] {
  const { fields } = golden;
  const prompt = text(golden, fields, "prompt");
  const scored = appendScores(prompt, {
    aesthetic: score(fields["aes"]),
    motion: score(fields["flow"]),
  });
  const cleaned = text(golden, fields, "cleaned");
  return [row(golden, "prompt cleaned", [prompt], () => [cleanPrompt(scored), cleaned])];
}

function row<T>(
  golden: GoldenCase,
  what: string,
  cases: readonly T[],
  compare: (entry: T) => readonly [got: string, wanted: string],
): GoldenRow {
  const wrong = cases.map(compare).filter(([got, wanted]) => got !== wanted);
  const [first] = wrong;
  const quoted = (part: string | undefined) => shortened(JSON.stringify(part), 60);
  return {
    case: golden.name,
    kind: golden.kind,
    what,
    error: wrong.length,
    bound: 0,
    unit: "count",
    selectionsExcused: 0,
    passed: wrong.length === 0,
    note: first
      ? `${quoted(first[0])} instead of ${quoted(first[1])}`
      : `${cases.length} strings, compared exactly`,
  };
}

function score(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function text(golden: GoldenCase, entry: unknown, field: string): string {
  const value = isRecord(entry) ? entry[field] : undefined;
  if (typeof value !== "string") throw malformed(golden, field);
  return value;
}

function malformed({ folder }: GoldenCase, field: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", `${folder}/case.json lacks "${field}" or has it wrong`);
}
