// The doctor's hold on the other side (folder-peer.ts): a process that it starts here, or by a
// command such as ssh on another machine.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import path from "node:path";
import { createInterface } from "node:readline";
import { FarmError } from "../common/errors.js";
import { packageRoot } from "../common/paths.js";
import type { PeerAnswers, PeerCommand } from "./folder-peer.js";

/** A login and the slowest of the checks. */
const answerMsMax = 60_000;

export class PeerProcess {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: AsyncIterator<string>;
  #said = "";

  /** `command` is one line for the shell; without it the other side runs on this machine. */
  constructor(folder: string, command: string | undefined) {
    this.#child = command === undefined ? startHere(folder) : spawn("sh", ["-c", command]);
    this.#child.stdin.on("error", () => {}); // its end is told by what it said
    this.#child.on("error", (error) => {
      this.#said += error.message;
    });
    this.#child.stderr.on("data", (text: Buffer) => {
      this.#said = (this.#said + text.toString()).slice(-500);
    });
    this.#lines = createInterface({ input: this.#child.stdout })[Symbol.asyncIterator]();
  }

  /** One command at a time. Throws UNAVAILABLE when there is no answer. */
  async tell<D extends PeerCommand["do"]>(
    command: Extract<PeerCommand, { do: D }>,
  ): Promise<PeerAnswers[D]> {
    this.#child.stdin.write(`${JSON.stringify(command)}\n`);
    const overdue = setTimeout(() => this.#child.kill("SIGKILL"), answerMsMax);
    const { value, done } = await this.#lines.next();
    clearTimeout(overdue);
    const answer = done === true ? undefined : parsed(value);
    if (answer === undefined)
      throw this.#failed(`it answers ${JSON.stringify(value ?? "nothing")}`);
    if ("error" in answer) throw this.#failed(String(answer.error));
    return answer as PeerAnswers[D]; // of our own program, which answers what it is asked
  }

  stop(): void {
    this.#child.stdin.end();
    this.#child.kill("SIGTERM");
  }

  #failed(why: string): FarmError {
    const said = this.#said.trim().replace(/\s*\n\s*/g, " ");
    return new FarmError("UNAVAILABLE", `the other side: ${why}${said === "" ? "" : ` (${said})`}`);
  }
}

function startHere(folder: string): ChildProcessWithoutNullStreams {
  const main = path.join(packageRoot(), "dist", "cli", "main.js");
  return spawn(process.execPath, [main, "doctor", "--artifacts", folder, "--as-peer"]);
}

function parsed(line: string): object | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? value : undefined;
  } catch {
    return undefined; // what a login prints
  }
}
