// Reads fields of a JSON object by a table: a wrong type, a value beyond its bounds or a name that
// nobody knows is an error that says where, and what is wanted.

import { suggestion } from "../../common/config.js";
import { FarmError } from "../../common/errors.js";

/** Reads one value; `where` names it, as in batches[2].clips. */
export type Field<T> = (value: unknown, where: string) => T;

type Fields = Readonly<Record<string, Field<unknown>>>;

type Values<T extends Fields> = { readonly [Name in keyof T]: ReturnType<T[Name]> };

/** An object of just these fields; each field's reader gets undefined where it is absent. */
export function objectOf<const T extends Fields>(fields: T): Field<Values<T>> {
  return (value, where) => {
    const object = plainObject(value, where);
    for (const name of Object.keys(object)) {
      if (!Object.hasOwn(fields, name)) throw unknownName(name, where, Object.keys(fields));
    }
    const values = Object.entries(fields).map(([name, read]) => [
      name,
      read(object[name], where === "" ? name : `${where}.${name}`),
    ]);
    return Object.fromEntries(values) as Values<T>; // each was just made by its field
  };
}

/** An object whose names the user chooses. */
export function namedOf<T>(read: Field<T>): Field<Readonly<Record<string, T>>> {
  return (value, where) => {
    const entries = Object.entries(plainObject(value, where));
    return Object.fromEntries(
      entries.map(([name, each]) => [name, read(each, `${where}.${name}`)]),
    );
  };
}

export function listOf<T>(read: Field<T>, atLeast: number): Field<readonly T[]> {
  return (value, where) => {
    if (!Array.isArray(value) || value.length < atLeast) {
      throw wrong(where, value, atLeast > 0 ? "a list that is not empty" : "a list");
    }
    return value.map((each, index) => read(each, `${where}[${index}]`));
  };
}

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export function numberIn({ min, max }: Bounds): Field<number> {
  return (value, where) => {
    if (typeof value === "number" && value >= min && value <= max) return value;
    throw wrong(where, value, `a number from ${min} to ${max}`);
  };
}

export function integerIn({ min, max }: Bounds): Field<number> {
  return (value, where) => {
    const whole = typeof value === "number" && Number.isInteger(value);
    if (whole && value >= min && value <= max) return value;
    throw wrong(where, value, `a whole number from ${min} to ${max}`);
  };
}

export const text: Field<string> = (value, where) => {
  if (typeof value === "string" && /^[\w .-]{1,100}$/.test(value)) return value;
  throw wrong(where, value, 'a name of up to 100 letters, digits, "_", ".", "-" and spaces');
};

/** Words for people. */
export const title: Field<string> = (value, where) => {
  if (typeof value === "string" && /^[^\p{C}]{1,100}$/u.test(value)) return value;
  throw wrong(where, value, "one line of up to 100 characters");
};

export const flag: Field<boolean> = (value, where) => {
  if (typeof value === "boolean") return value;
  throw wrong(where, value, "true or false");
};

/** The field may be left out. */
export function or<T, Default>(read: Field<T>, otherwise: Default): Field<T | Default> {
  return (value, where) => (value === undefined ? otherwise : read(value, where));
}

function plainObject(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw wrong(where, value, "an object");
  }
  return value as Readonly<Record<string, unknown>>; // JSON has no other objects
}

function unknownName(name: string, where: string, known: readonly string[]): FarmError {
  const near = suggestion(name, known);
  const place = where === "" ? "the scenario" : where;
  const hint = near === undefined ? `it has ${known.join(", ")}` : `did you mean "${near}"?`;
  return new FarmError("INVALID_ARGUMENT", `${place} has no field "${name}"; ${hint}`);
}

function wrong(where: string, value: unknown, wanted: string): FarmError {
  const place = where === "" ? "the scenario" : where;
  if (value === undefined) {
    return new FarmError("INVALID_ARGUMENT", `${place} is missing; ${wanted} is wanted`);
  }
  const shown = JSON.stringify(value).slice(0, 60);
  return new FarmError("INVALID_ARGUMENT", `${place} is ${shown}; ${wanted} is wanted`);
}
