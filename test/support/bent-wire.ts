// A proxy between a client and a server on loopback that does to the wire what networks do: it
// flips a byte, cuts a connection after so many bytes, or takes everything and answers nothing.
import { connect, createServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** What happens to the bytes of one direction. */
export interface Bend {
  /** The byte at this offset of a connection comes out with another bit. */
  readonly flipAt?: number;
  /** So do all at multiples of this offset. */
  readonly again?: true;
  /** The connection is reset when this many bytes have passed. */
  readonly cutAt?: number;
}

export class BentWire {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #up: Bend = {};
  #down: Bend = {};
  /** Nothing passes on any connection, and none is refused. */
  silent = false;
  /** Connections made so far. */
  connections = 0;

  constructor(serverPort: number) {
    this.#server = createServer((client) => this.#join(client, serverPort));
  }

  /** Serves until the test ends. */
  static async start(t: TestContext, serverPort: number): Promise<BentWire> {
    const wire = new BentWire(serverPort);
    t.after(() => wire.#stop());
    await new Promise<void>((resolve) => wire.#server.listen(0, "127.0.0.1", resolve));
    return wire;
  }

  get port(): number {
    const address = this.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("the wire is down");
    return address.port;
  }

  /** Bends what is connected from now on, to the server or from it, and cuts what is connected. */
  bend({ up = {}, down = {} }: { readonly up?: Bend; readonly down?: Bend }): void {
    this.#up = up;
    this.#down = down;
    this.#cut();
  }

  #join(client: Socket, serverPort: number): void {
    this.connections += 1;
    const server = connect(serverPort, "127.0.0.1");
    this.#pass(client, server, this.#up);
    this.#pass(server, client, this.#down);
  }

  #pass(from: Socket, to: Socket, bend: Bend): void {
    const { flipAt = Infinity, cutAt = Infinity } = bend;
    let passed = 0;
    let flipNext = flipAt;
    this.#sockets.add(from);
    from.on("data", (chunk: Buffer) => {
      if (this.silent) return;
      for (; flipNext < passed + chunk.length; flipNext += bend.again ? flipAt : Infinity) {
        chunk.writeUInt8(chunk.readUInt8(flipNext - passed) ^ 1, flipNext - passed);
      }
      passed += chunk.length;
      if (passed >= cutAt) {
        from.resetAndDestroy();
        to.resetAndDestroy();
      } else if (!to.write(chunk)) {
        from.pause();
        to.once("drain", () => from.resume());
      }
    });
    from.on("end", () => to.end());
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
  }

  #stop(): void {
    this.#server.close();
    this.#cut();
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
