// Processes that hold many workers each, so that one thread's turn of a thousand streams is not
// what is measured.
import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";
import type { FromLoad, ToLoad } from "./load-messages.js";

export class LoadProcesses {
  readonly #children: readonly ChildProcess[];

  /** Starts `processes` of a compiled program beside this one. */
  constructor(program: string, processes: number) {
    const file = fileURLToPath(new URL(program, import.meta.url));
    this.#children = Array.from({ length: processes }, () =>
      fork(file, { stdio: ["ignore", "inherit", "inherit", "ipc"] }),
    );
  }

  /** Shares so many workers out; resolves when all of them are there. */
  async open(address: string, workers: number): Promise<void> {
    const share = Math.ceil(workers / this.#children.length);
    const opened = this.#children.map((child, index) => {
      const first = index * share;
      const count = Math.min(share, workers - first);
      return ask(child, { type: "open", address, first, count }, "opened");
    });
    await Promise.all(opened);
  }

  tell(message: ToLoad): void {
    for (const child of this.#children) child.send(message);
  }

  /** Every wait of every worker since the last reset. */
  async collect(): Promise<readonly number[]> {
    const answers = this.#children.map((child) => ask(child, { type: "collect" }, "measured"));
    return (await Promise.all(answers)).flatMap(({ waitsMs }) => waitsMs);
  }

  stop(): void {
    for (const child of this.#children) child.kill("SIGKILL");
  }
}

function ask<T extends FromLoad["type"]>(
  child: ChildProcess,
  message: ToLoad,
  type: T,
): Promise<Extract<FromLoad, { type: T }>> {
  return new Promise((resolve, reject) => {
    const onMessage = (raw: unknown) => {
      const answer = raw as FromLoad; // our own program wrote it
      if (answer.type !== type) return;
      child.off("message", onMessage);
      resolve(answer as Extract<FromLoad, { type: T }>);
    };
    child.on("message", onMessage);
    child.once("exit", () => reject(new Error("a process that makes load has ended")));
    child.send(message);
  });
}
