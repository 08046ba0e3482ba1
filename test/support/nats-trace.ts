// What a nats-server asks of the kernel, written down by strace: every change of a file or folder,
// every fsync, and what goes out on its sockets, in the order in which it began and ended.
import { accessSync, constants, readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { findNatsServer } from "../../coordinator/nats/server.js";

const traced = [
  ...["openat", "creat", "close", "dup", "dup2", "dup3", "lseek"],
  ...["write", "pwrite64", "writev", "pwritev", "pwritev2", "sendfile", "copy_file_range"],
  ...["fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "msync"],
  ...["truncate", "ftruncate", "fallocate", "rename", "renameat", "renameat2"],
  ...["link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "mkdir", "mkdirat"],
];

/** One system call. */
export interface Call {
  readonly name: string;
  /** Arguments as strace prints them. */
  readonly args: string;
  /** Those arguments that are text or bytes. */
  readonly bytes: readonly Buffer[];
  /** As the kernel returned it; null when it never did. */
  result: number | null;
}

/** A moment of the trace: a call begins, or has ended. */
export interface Moment {
  readonly at: "begin" | "end";
  readonly call: Call;
}

/**
 * Writes a program into `folder` that stands for nats-server and traces it. `edit` is a line of
 * shell that may change the configuration, "$2", first.
 */
export function tracedServer(
  folder: string,
  { edit = ":" } = {},
): {
  readonly program: string;
  readonly moments: () => readonly Moment[];
} {
  const strace = ["/usr/bin/strace", "/usr/local/bin/strace"].find(isProgram);
  if (strace === undefined) throw new Error("strace is missing; npm test installs it");
  const program = path.join(folder, "traced-nats-server");
  const trace = path.join(folder, "trace");
  const options = `-D -f --seccomp-bpf -e signal=none -xx -s 4000000 -o ${trace}`;
  const calls = `-e trace=${traced.join(",")}`;
  const server = findNatsServer(process.env);
  const script = `#!/bin/sh\n${edit}\nexec ${strace} ${options} ${calls} ${server} "$@"\n`;
  writeFileSync(program, script, { mode: 0o700 });
  return { program, moments: () => parseTrace(readFileSync(trace, "latin1")) };
}

function isProgram(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** Reads `strace -f -xx`: a call that another thread interrupts stands on two lines. */
function parseTrace(text: string): readonly Moment[] {
  const moments: Moment[] = [];
  const unfinished = new Map<string, Call>();
  for (const line of text.split("\n")) {
    const [, pid = "", rest = ""] = /^(\d+) +(.*)$/.exec(line) ?? [];
    const resumed = /^<\.\.\. (\w+) resumed>/.exec(rest);
    if (resumed) {
      const call = unfinished.get(pid);
      unfinished.delete(pid);
      if (call) moments.push(ended(call, rest));
      continue;
    }
    const [, name, args] = /^(\w+)\((.*)$/.exec(rest) ?? [];
    if (name === undefined || args === undefined) continue;
    const call: Call = { name, args: withoutBytes(args), bytes: bytesOf(args), result: null };
    moments.push({ at: "begin", call });
    if (rest.endsWith("<unfinished ...>")) unfinished.set(pid, call);
    else moments.push(ended(call, rest));
  }
  return moments;
}

function ended(call: Call, line: string): Moment {
  const result = /\) += (-?\d+)[^)]*(?:\([^)]*\))?$/.exec(line)?.[1];
  call.result = result === undefined ? null : Number(result);
  return { at: "end", call };
}

const quoted = /"((?:\\x[0-9a-f]{2})*)"/g;

function bytesOf(args: string): readonly Buffer[] {
  return Array.from(args.matchAll(quoted), ([, hex = ""]) =>
    Buffer.from(hex.replaceAll("\\x", ""), "hex"),
  );
}

/** What stands between the brackets, with the bytes left out. */
function withoutBytes(args: string): string {
  return args.replace(quoted, '""').replace(/(?: <unfinished \.\.\.>|\) += .*)$/, "");
}
