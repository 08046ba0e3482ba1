// The other side of the doctor's test of a shared folder: a process, on this machine or another
// one, that looks at the folder when it is told to and says what it sees. Commands and answers are
// lines of JSON on stdin and stdout, so that `ssh` can carry them.
import { open, readFile } from "node:fs/promises";
import path from "node:path";
import { createInterface } from "node:readline";
import { errorText, isWhole, versionOf } from "./folder-probe.js";

/** What it can be told to do; names are relative to its own path of the folder. */
export type PeerCommand =
  | { readonly do: "clock" }
  | { readonly do: "look"; readonly name: string }
  | { readonly do: "create"; readonly names: readonly string[]; readonly text: string }
  | { readonly do: "watch"; readonly name: string; readonly last: number };

export interface PeerAnswers {
  readonly clock: { readonly nowMs: number };
  /** Null when there is no such file. */
  readonly look: { readonly text: string | null };
  /** For each name, whether this side created it. */
  readonly create: { readonly won: readonly boolean[] };
  readonly watch: Watched;
}

/** What a reader saw of a file that another side replaced again and again. */
export interface Watched {
  readonly reads: number;
  /** How often there was no file, half a file, an older file than before, or an error. */
  readonly absent: number;
  readonly torn: number;
  readonly backward: number;
  readonly errors: readonly string[];
  /** Whether it saw the last version in time. */
  readonly ended: boolean;
}

/** A reader gives up when the last version does not come. */
const watchMsMax = 20_000;
const errorsMax = 3;

/** Answers until stdin ends. */
export async function answerAsPeer(folder: string): Promise<void> {
  for await (const line of createInterface({ input: process.stdin })) {
    let answer: unknown;
    try {
      answer = await obey(folder, JSON.parse(line) as PeerCommand); // from our own doctor
    } catch (error) {
      answer = { error: errorText(error) };
    }
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
}

async function obey(folder: string, command: PeerCommand): Promise<object> {
  switch (command.do) {
    case "clock":
      return { nowMs: Date.now() };
    case "look":
      return { text: await textAt(path.join(folder, command.name)) };
    case "create":
      return { won: await createAll(folder, command.names, command.text) };
    case "watch":
      return watch(path.join(folder, command.name), command.last);
  }
}

async function textAt(file: string): Promise<string | null> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorText(error).startsWith("ENOENT")) return null;
    throw error;
  }
}

/** Creates each file unless it is there; writes the text into those that it created. */
export async function createAll(
  folder: string,
  names: readonly string[],
  text: string,
): Promise<readonly boolean[]> {
  const won: boolean[] = [];
  for (const name of names) {
    try {
      const file = await open(path.join(folder, name), "wx");
      await file.writeFile(text);
      await file.close();
      won.push(true);
    } catch (error) {
      if (!errorText(error).startsWith("EEXIST")) throw error;
      won.push(false);
    }
  }
  return won;
}

async function watch(file: string, last: number): Promise<Watched> {
  const seen = { reads: 0, absent: 0, torn: 0, backward: 0 };
  const errors: string[] = [];
  let newest = 0;
  const endMs = performance.now() + watchMsMax;
  while (newest < last && performance.now() < endMs) {
    seen.reads += 1;
    try {
      const text = await textAt(file);
      if (text === null) seen.absent += 1;
      else if (!isWhole(text)) seen.torn += 1;
      else if (versionOf(text) < newest) seen.backward += 1;
      else newest = versionOf(text);
    } catch (error) {
      if (errors.length < errorsMax) errors.push(errorText(error));
    }
  }
  return { ...seen, errors, ended: newest >= last };
}
