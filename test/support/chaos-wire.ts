// A wire that can go dead without breaking: a TCP proxy that, while it is frozen, takes connections
// and bytes and passes nothing on, not even that one side has hung up. What was under way comes
// late, when it thaws, as a network that has healed would bring it.
import { connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";

interface Pair {
  readonly near: Socket;
  readonly far: Socket;
}

export class Wire {
  readonly #server: Server;
  readonly #target: string;
  readonly #pairs = new Set<Pair>();
  #frozen = false;

  private constructor(target: string) {
    this.#target = target;
    this.#server = createServer({ allowHalfOpen: true }, (near) => this.#join(near));
  }

  /** A wire to HOST:PORT, where nobody need be yet; it is gone after the test. */
  static async to(t: TestContext, target: string): Promise<Wire> {
    const wire = new Wire(target);
    await new Promise<void>((resolve) => wire.#server.listen(0, "127.0.0.1", resolve));
    t.after(() => wire.#stop());
    return wire;
  }

  /** HOST:PORT of its near end. */
  get address(): string {
    const bound = this.#server.address();
    if (bound === null || typeof bound === "string") throw new Error("the wire is not there");
    return `127.0.0.1:${bound.port}`;
  }

  /** From now on nothing passes. */
  freeze(): void {
    this.#frozen = true;
    for (const { near, far } of this.#pairs) for (const end of [near, far]) end.pause();
  }

  /** Everything passes again, first what was held up. */
  thaw(): void {
    this.#frozen = false;
    for (const { near, far } of this.#pairs) for (const end of [near, far]) end.resume();
  }

  #join(near: Socket): void {
    const [host = "", port] = this.#target.split(":");
    const far = connect({ host, port: Number(port), allowHalfOpen: true });
    const pair = { near, far };
    this.#pairs.add(pair);
    this.#pass(near, far);
    this.#pass(far, near);
    const end = () => this.#end(pair);
    for (const side of [near, far]) side.on("error", end).on("close", end);
    if (this.#frozen) for (const side of [near, far]) side.pause();
  }

  /** A paused socket tells neither bytes nor an end, so a frozen wire tells nothing. */
  #pass(from: Socket, to: Socket): void {
    from.on("data", (chunk) => {
      if (to.write(chunk) || this.#frozen) return;
      from.pause();
      to.once("drain", () => {
        if (!this.#frozen) from.resume();
      });
    });
    from.on("end", () => to.end());
  }

  /** One side has gone: the other one hears of it, once anything passes. */
  #end(pair: Pair): void {
    if (!this.#pairs.has(pair)) return;
    if (this.#frozen) {
      // Looked at again after the thaw: what the other side has sent comes to nothing then.
      setTimeout(() => this.#end(pair), 50).unref();
      return;
    }
    this.#pairs.delete(pair);
    for (const end of [pair.near, pair.far]) end.destroy();
  }

  #stop(): void {
    this.#frozen = false;
    for (const pair of this.#pairs) this.#end(pair);
    this.#server.close();
  }
}
