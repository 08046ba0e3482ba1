// Which policies a comparison is about: "toca,fora(interval=3),mine.json", options by policy, and
// two that are always there: `none`, which all others are held against, and half the steps, which
// is what a policy has to beat.
import { createHash } from "node:crypto";
import { FarmError } from "../../common/errors.js";
import type { Policy } from "../../engine/plan.js";
import { type NamedPolicy, readPolicyFile } from "../policy-file.js";

export interface ComparedPolicy {
  /** As people write it: "toca(fresh_ratio=0.2,interval=4)". */
  readonly label: string;
  /** Of its folder. */
  readonly folder: string;
  readonly policy: NamedPolicy;
}

/** More columns are no comparison that a person can take in. */
export const policiesMax = 24;

const always: readonly Policy[] = [
  { name: "none", options: {} },
  { name: "steps", options: { ratio: "0.5" } },
];

/**
 * Reads `--policies` and each `--policy-option POLICY.NAME=VALUE`. `shared` are options of all that
 * keep a cache, where they say nothing else. Throws INVALID_ARGUMENT for what
 * makes no sense, NOT_FOUND or IO for a policy file; what a policy knows is the plan's to judge.
 */
export async function readPolicies(
  text: string,
  options: readonly string[],
  shared: Policy["options"] = {},
): Promise<readonly ComparedPolicy[]> {
  const written: NamedPolicy[] = [];
  for (const entry of splitOutside(text)) written.push(await readEntry(entry.trim()));
  const given = withOptions(written, options).map((policy) =>
    always.some(({ name }) => name === policy.name)
      ? policy
      : { ...policy, options: { ...shared, ...policy.options } },
  );
  const labels = given.map(labelOf);
  const twice = labels.find((label, index) => labels.indexOf(label) !== index);
  if (twice !== undefined) throw invalid(`--policies has ${twice} twice; give it once`);
  const missing = always.filter((policy) => !labels.includes(labelOf(policy)));
  const none = given.filter((policy) => labelOf(policy) === "none");
  const others = given.filter((policy) => labelOf(policy) !== "none");
  const all = [...none, ...missing, ...others];
  if (all.length > policiesMax) {
    throw invalid(`${all.length} policies are to be compared; at most ${policiesMax}`);
  }
  return all.map((policy) => ({ policy, label: labelOf(policy), folder: folderOf(policy) }));
}

/** "toca(fresh_ratio=0.2,interval=4)": options in the order of their names. */
export function labelOf({ name, options }: Policy): string {
  const written = optionsText(options);
  return written === "" ? name : `${name}(${written})`;
}

function optionsText(options: Policy["options"]): string {
  const sorted = Object.entries(options).sort(([a], [b]) => (a < b ? -1 : 1));
  return sorted.map(([option, value]) => `${option}=${value}`).join(",");
}

// A name of a folder has 255 bytes; what does not fit is told apart by its digest.
const folderCharactersMax = 120;
const digestCharacters = 12;

function folderOf(policy: Policy): string {
  const plain = [policy.name, optionsText(policy.options)].filter((part) => part !== "").join(",");
  const safe = plain.replace(/[^A-Za-z0-9_.,=-]/g, "_");
  if (safe === plain && plain.length <= folderCharactersMax) return plain;
  const digest = createHash("sha256").update(plain).digest("hex").slice(0, digestCharacters);
  return `${safe.slice(0, folderCharactersMax)}-${digest}`;
}

/** Parts between commas that stand in no brackets. */
function splitOutside(text: string): readonly string[] {
  const parts: string[] = [""];
  let depth = 0;
  for (const character of text) {
    depth += character === "(" ? 1 : character === ")" ? -1 : 0;
    if (depth < 0 || depth > 1) break;
    if (character === "," && depth === 0) parts.push("");
    else parts[parts.length - 1] += character;
  }
  if (depth !== 0) throw invalid(`--policies is ${text}; its brackets do not match`);
  return parts;
}

const entryPattern = /^((?:preset:)?[a-z][a-z0-9_+-]*)(?:\((.*)\))?$/;

async function readEntry(entry: string): Promise<NamedPolicy> {
  const [, name, options = ""] = entryPattern.exec(entry) ?? [];
  if (name !== undefined) return { name, options: readOptions(options, entry) };
  if (/[/\\]|\.json$/.test(entry)) return readPolicyFile(entry);
  const example = "toca,fora(interval=3),./policy.json";
  throw invalid(`--policies has ${JSON.stringify(entry)}; names are wanted, such as ${example}`);
}

/**
 * A piece that begins with no NAME= goes on with the value before it: "compute=0,1,2,for_steps=3",
 * "refresh=all=0,3;mlp=0,2,6-9".
 */
function readOptions(text: string, entry: string): Policy["options"] {
  const options: Record<string, string> = {};
  let last: string | undefined;
  for (const piece of text === "" ? [] : text.split(",")) {
    const match = /^\s*([a-z][a-z0-9_.]*)=(.+)$/.exec(piece);
    const [, name, value] = match ?? [];
    if (name !== undefined && value !== undefined) {
      if (Object.hasOwn(options, name)) throw invalid(`${entry} gives ${name} twice; give it once`);
      options[name] = value.trim();
      last = name;
    } else if (last !== undefined && piece.trim() !== "") {
      options[last] += `,${piece.trim()}`;
    } else {
      throw invalid(`${entry}: ${JSON.stringify(piece)} is no NAME=VALUE, such as interval=3`);
    }
  }
  return options;
}

function withOptions(
  policies: readonly NamedPolicy[],
  written: readonly string[],
): readonly NamedPolicy[] {
  let result = policies;
  for (const text of written) {
    const [, policy, option, value] =
      /^([a-z][a-z0-9_+-]*)\.([a-z][a-z0-9_.]*)=(.+)$/.exec(text) ?? [];
    if (policy === undefined || option === undefined || value === undefined) {
      throw invalid(
        `--policy-option is ${text}; POLICY.NAME=VALUE is wanted, such as toca.interval=4`,
      );
    }
    if (!result.some(({ name }) => name === policy)) {
      throw invalid(`--policy-option is ${text}; ${policy} is not among --policies`);
    }
    if (result.some(({ name, options }) => name === policy && Object.hasOwn(options, option))) {
      throw invalid(`--policy-option ${policy}.${option} is given twice; give it once`);
    }
    result = result.map((each) =>
      each.name === policy ? { ...each, options: { ...each.options, [option]: value } } : each,
    );
  }
  return result;
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
