// A real S3 server for tests: versitygw on loopback over a temporary folder. It can be killed and
// started again with what it has stored. The folder's file system has to know extended attributes:
// with them an object's metadata appear together with it.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { packageRoot } from "../../common/paths.js";

const accessKey = "test-access-key";
const secretKey = "test-secret-key";
const startMsMax = 20_000;

export class S3Server {
  readonly #folder = mkdtempSync(path.join(tmpdir(), "tocafarm-s3-"));
  #child: ChildProcess | undefined;
  #ended: Promise<unknown> = Promise.resolve();
  #port = 0;

  /** Serves one bucket, "farm", until it is disposed of. The environment gets its credentials. */
  static async start(): Promise<S3Server> {
    const server = new S3Server();
    mkdirSync(server.bucketFolder, { recursive: true });
    useKeys();
    server.#port = await freePort();
    await server.restart();
    return server;
  }

  get port(): number {
    return this.#port;
  }

  /** Where it keeps the bucket's objects, as files. */
  get bucketFolder(): string {
    return path.join(this.#folder, "buckets", "farm");
  }

  /** A location in the bucket, reached by the server's own port or that of a proxy before it. */
  location(prefix = "", port = this.#port): string {
    return `s3://farm/${prefix}?endpoint=http://127.0.0.1:${port}`;
  }

  /** Starts it, on the same port as before; resolves once it answers. */
  async restart(): Promise<void> {
    const program = path.join(packageRoot(), ".tools", "bin", "versitygw");
    const keys = ["--access", accessKey, "--secret", secretKey];
    const serving = ["--port", `127.0.0.1:${this.#port}`, "--quiet", "--keep-alive"];
    const posix = ["posix", path.join(this.#folder, "buckets")];
    const args = ["--pdeathsig", "KILL", "--", program, ...keys, ...serving, ...posix];
    const child = spawn("setpriv", args, { stdio: ["ignore", "ignore", "inherit"] });
    this.#child = child;
    this.#ended = new Promise((resolve) => {
      child.once("exit", resolve);
      child.once("error", resolve);
    });
    await this.#answers(child);
  }

  /** As a crash would. */
  async kill(): Promise<void> {
    this.#child?.kill("SIGKILL");
    await this.#ended;
  }

  async #answers(child: ChildProcess): Promise<void> {
    const endMs = performance.now() + startMsMax;
    while (performance.now() < endMs && child.exitCode === null) {
      const answer = await fetch(`http://127.0.0.1:${this.#port}/`).catch(() => undefined);
      if (answer !== undefined) return;
      await sleep(20);
    }
    throw new Error("the S3 server does not start: npm test installs it into .tools/bin");
  }

  /** Ends it, with what it has stored. */
  async dispose(): Promise<void> {
    await this.kill();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Puts credentials into this process's environment, and keeps others from being found. */
export function useKeys(access = accessKey, secret = secretKey): void {
  process.env["AWS_ACCESS_KEY_ID"] = access;
  process.env["AWS_SECRET_ACCESS_KEY"] = secret;
  process.env["AWS_EC2_METADATA_DISABLED"] = "true";
  for (const name of ["AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"]) {
    process.env[name] = "/dev/null";
  }
  for (const name of ["AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_REGION"]) delete process.env[name];
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
