// The file of --rules: JSON in the form of core's Rules, of which everything may be left out. What
// is there must be known and within bounds, so that a slip of the finger is an error at the start
// and not a surprise in the farm.

import { readFileSync } from "node:fs";
import { suggestion } from "../common/config.js";
import { asFarmError, FarmError } from "../common/errors.js";
import { defaultRules, type Rules, type TenantRules } from "./core/rules.js";

/** Smallest and largest value of a number; `fraction`: it need not be whole. */
interface NumberRow {
  readonly min: number;
  readonly max: number;
  readonly fraction?: true;
}

type Row = NumberRow | "boolean";

/** A row for every value of T. */
type SchemaOf<T> = {
  readonly [K in keyof T]: T[K] extends number
    ? NumberRow
    : T[K] extends boolean
      ? "boolean"
      : SchemaOf<T[K]>;
};

type AnySchema = { readonly [key: string]: Row | AnySchema };

const hourMs = 3_600_000;
const countMax = 1_000_000_000;

/** A file of 10,000 tenants has 2 MB. */
const fileCharactersMax = 16 * 1024 * 1024;

const tenantSchema: SchemaOf<TenantRules> = {
  weight: { min: 0.001, max: 1_000_000, fraction: true },
  devicesMax: { min: 1, max: countMax },
  clipsQueuedMax: { min: 1, max: countMax },
  batchesMax: { min: 1, max: countMax },
};

/** How long a worker may be silent is --lease-seconds; tenants have names of their own. */
const rulesSchema: SchemaOf<Omit<Rules, "leaseMs" | "tenants">> = {
  retry: {
    failuresMax: { min: 1, max: 1_000 },
    workerFailuresMax: { min: 1, max: 1_000 },
    backoffMs: { min: 0, max: hourMs },
    backoffMsMax: { min: 0, max: 24 * hourMs },
    io: {
      failuresMax: { min: 1, max: 1_000 },
      backoffMs: { min: 0, max: hourMs },
      backoffMsMax: { min: 0, max: 24 * hourMs },
    },
  },
  tenantDefault: tenantSchema,
  tierRaiseMs: { min: 0, max: 1_000 * hourMs },
  quarantine: {
    failuresMax: { min: 1, max: 1_000 },
    backoffMs: { min: 0, max: 24 * hourMs },
    backoffMsMax: { min: 0, max: 24 * hourMs },
    canaryMs: { min: 1_000, max: 24 * hourMs },
    canariesMax: { min: 1, max: 1_000 },
  },
  stuck: {
    factor: { min: 1, max: 1_000, fraction: true },
    floorMs: { min: 1_000, max: 24 * hourMs },
    unlearntMs: { min: 1_000, max: 240 * hourMs },
  },
  preemption: { enabled: "boolean", waitMs: { min: 0, max: 24 * hourMs } },
};

/**
 * The rules of a file over the defaults, each tenant's over `tenantDefault`. Throws
 * INVALID_ARGUMENT with the place in the file and what is allowed there.
 */
export function readRules(file: string): Rules {
  try {
    return parseRules(readFileSync(file, "utf8"));
  } catch (thrown) {
    const { message } = asFarmError(thrown);
    throw new FarmError("INVALID_ARGUMENT", `--rules ${file}: ${message}`, { cause: thrown });
  }
}

/** As readRules, of the file's text. */
export function parseRules(text: string): Rules {
  if (text.length > fileCharactersMax)
    throw bad(`it has more than ${fileCharactersMax} characters`);
  const { tenants = {}, ...rest } = objectAt("it", parse(text));
  const schema = { ...rulesSchema, tenants: {} } as unknown as AnySchema;
  const { leaseMs, tenants: _, ...presets } = defaultRules;
  const rules = merged("", rest, { schema, presets: { ...presets } });
  const own = Object.entries(objectAt("tenants", tenants)).map(([name, value]) => {
    const presetsOfTenant = rules["tenantDefault"] as Record<string, unknown>;
    const spot = `tenants.${name}`;
    const tenant = { schema: tenantSchema as unknown as AnySchema, presets: presetsOfTenant };
    return [name, merged(spot, objectAt(spot, value), tenant)];
  });
  // Every value was just checked against its row, and those not given are the defaults.
  return { ...rules, leaseMs, tenants: Object.fromEntries(own) } as unknown as Rules;
}

interface Form {
  readonly schema: AnySchema;
  readonly presets: Readonly<Record<string, unknown>>;
}

function merged(
  place: string,
  given: Readonly<Record<string, unknown>>,
  { schema, presets }: Form,
): Record<string, unknown> {
  const result = { ...presets };
  for (const [key, value] of Object.entries(given)) {
    const spot = place === "" ? key : `${place}.${key}`;
    const row = Object.hasOwn(schema, key) ? schema[key] : undefined;
    if (row === undefined) throw unknown(spot, key, Object.keys(schema));
    if (isRow(row)) result[key] = checked(spot, value, row);
    else {
      const inner = presets[key] as Readonly<Record<string, unknown>>; // as the schema has it
      result[key] = merged(spot, objectAt(spot, value), { schema: row, presets: inner });
    }
  }
  return result;
}

function isRow(row: Row | AnySchema): row is Row {
  return row === "boolean" || typeof row["min"] === "number";
}

function checked(spot: string, value: unknown, row: Row): unknown {
  if (row === "boolean") {
    if (typeof value === "boolean") return value;
    throw bad(`${spot} is ${shown(value)}; true or false is wanted`);
  }
  const { min, max, fraction } = row;
  const isNumber = typeof value === "number" && (fraction === true || Number.isInteger(value));
  if (isNumber && value >= min && value <= max) return value;
  const wanted = fraction ? "a number" : "a whole number";
  throw bad(`${spot} is ${shown(value)}; ${wanted} from ${min} to ${max} is wanted`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw bad(`it is no JSON (${error instanceof Error ? error.message : String(error)})`);
  }
}

function objectAt(spot: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    return value as Readonly<Record<string, unknown>>;
  }
  throw bad(`${spot} is ${shown(value)}; an object is wanted`);
}

function unknown(spot: string, key: string, known: readonly string[]): FarmError {
  const near = suggestion(key, known);
  const hint = near === undefined ? `known are ${known.join(", ")}` : `did you mean ${near}?`;
  return bad(`there is no rule ${spot.slice(0, 80)}; ${hint}`);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? String(value)).slice(0, 60);
}

function bad(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
