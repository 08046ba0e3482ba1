// The rules of the house that a program can check, one function a rule. Each takes a file and gives
// the breaches that it finds, naming the rule and the cure.
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";

export interface SourceFile {
  /** Relative to the root, with "/". */
  readonly file: string;
  readonly text: string;
}

export type HouseRule = (source: SourceFile) => readonly string[];

const lineColumnsMax = 100;
const fileLinesMax = 500;

const folders = [
  ".ci artifacts bench cli common console coordinator deploy engine native proto simulation test",
  "tools worker",
].flatMap((names) => names.split(" "));
const endings = [".ts", ".mjs", ".cpp", ".h", ".cu", ".cuh", ".proto"];
// Made by a program, or recorded data.
const skipped = ["proto/gen", "test/golden", "engine/testdata"];

/** Every source file of the checkout. */
export function readSources(root: string): readonly SourceFile[] {
  const found: SourceFile[] = [];
  const visit = (folder: string): void => {
    if (skipped.includes(folder)) return;
    for (const entry of readdirSync(path.join(root, folder), { withFileTypes: true })) {
      const file = `${folder}/${entry.name}`;
      if (entry.isDirectory()) visit(file);
      else if (endings.some((ending) => file.endsWith(ending))) {
        found.push({ file, text: readFileSync(path.join(root, file), "utf8") });
      }
    }
  };
  for (const folder of folders) if (existsSync(path.join(root, folder))) visit(folder);
  return found;
}

export const lineLength: HouseRule = ({ file, text }) =>
  text.split("\n").flatMap((line, index) => {
    const columns = [...line].length;
    // A line that is one long word, such as an address, cannot be broken.
    if (columns <= lineColumnsMax || !/\S\s+\S/.test(line.replace(/^\s*(?:\/\/|\*)\s*/, ""))) {
      return [];
    }
    return [`${file}:${index + 1} has ${columns} columns, at most ${lineColumnsMax}: break it`];
  });

export const fileLength: HouseRule = ({ file, text }) => {
  const lines = text.split("\n").length - 1;
  if (lines <= fileLinesMax) return [];
  return [`${file} has ${lines} lines, at most ${fileLinesMax}: split it by idea`];
};

/** Tests may do without: their names say it. So may a .cpp whose header beside it says it. */
export const headComment: HouseRule = ({ file, text }) => {
  if (/(?:\.test\.ts|_test\.cpp)$/.test(file)) return [];
  const ownHeader = file.replace(/^native\//, "").replace(/\.(?:cpp|cu)$/, ".h");
  if (!file.endsWith(".h") && includesOf(text).includes(ownHeader)) return [];
  const start = text.replace(/^#!.*\n/, "").replace(/^#pragma once\s+|^syntax = "proto3";\s+/, "");
  if (/^\/[/*]/.test(start)) return [];
  return [`${file} opens without a comment: say in a sentence what it is for and why it is so`];
};

export const fileName: HouseRule = ({ file }) => {
  const name = path.posix.basename(file).replace(/(?:\.[a-z]+)*\.[a-z]+$/, "");
  const isKebab = /\.(?:ts|mjs)$/.test(file);
  const pattern = isKebab ? /^[a-z0-9]+(?:-[a-z0-9]+)*$/ : /^[a-z0-9]+(?:_[a-z0-9]+)*$/;
  if (pattern.test(name)) return [];
  return [`${file}: files are named in ${isKebab ? "kebab-case" : "snake_case"}: rename it`];
};

/** The module specifiers that a TypeScript file imports. */
export function importsOf(text: string): readonly string[] {
  const statements = /^\s*(?:import|export)\b[^;"']*?\bfrom\s*["']([^"']+)["']/gm;
  const others = /^\s*import\s*["']([^"']+)["']|\bimport\(\s*["']([^"']+)["']/gm;
  return [...text.matchAll(statements), ...text.matchAll(others)].map(
    (match) => match[1] ?? match[2] ?? "",
  );
}

/** An imported file relative to the root, or null for a package. */
export function resolveImport(file: string, specifier: string): string | null {
  if (!specifier.startsWith(".")) return null;
  return path.posix.join(path.posix.dirname(file), specifier).replace(/\.js$/, ".ts");
}

/** The paths in double quotes or angle brackets that a C++ file includes. */
export function includesOf(text: string): readonly string[] {
  return [...text.matchAll(/^\s*#\s*include\s*["<]([^">]+)[">]/gm)].map((match) => match[1] ?? "");
}
