// Coordinator processes for integration tests: started on a folder, killed in whatever way the test
// wants, and gone when it ends.

import { type ChildProcess, fork } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import type { TestContext } from "node:test";
import { asChildMessage } from "../../common/lifecycle.js";
import { callUnary, createClient } from "../../common/rpc.js";
import {
  type GetBatchResponse,
  RenderFarmClient,
  type SubmitBatchRequest,
} from "../../proto/gen/tocafarm/v1/farm.js";
import type { RenderSpec } from "../../proto/gen/tocafarm/v1/render.js";
import { demoSpec } from "./demo-spec.js";

const program = path.join(import.meta.dirname, "coordinator-main.js");

/** A folder that is removed after the test. */
export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(path.join(tmpdir(), "tocafarm-test-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export class CoordinatorProcess {
  readonly child: ChildProcess;
  readonly grpc: string;
  readonly http: string;
  readonly farm: RenderFarmClient;

  private constructor(child: ChildProcess, grpc: string, http: string) {
    this.child = child;
    this.grpc = grpc;
    this.http = http;
    this.farm = createClient(RenderFarmClient, grpc);
  }

  /** Resolves once it serves; throws the code and message with which it failed. */
  static async start(
    t: TestContext,
    data: string,
    flags: readonly string[] = [],
  ): Promise<CoordinatorProcess> {
    const lease = flags.includes("--lease-seconds") ? [] : ["--lease-seconds", "3"];
    const child = forkCoordinator(t, ["--data", data, ...lease, ...flags]);
    const message = await new Promise((resolve) => {
      child.once("message", resolve);
      child.once("exit", (code) => resolve({ type: "failed", code: `exit ${code}`, message: "" }));
    });
    const said = asChildMessage(message);
    if (said?.type !== "ready") throw new Error(JSON.stringify(said));
    const process = new CoordinatorProcess(child, said.grpc ?? "", said.http ?? "");
    t.after(() => process.farm.close());
    return process;
  }

  /** As if the machine took it away. */
  async kill(): Promise<void> {
    await ended(this.child, "SIGKILL");
  }

  /** In order; resolves to the exit code. */
  async stop(): Promise<number | null> {
    return ended(this.child, "SIGTERM");
  }

  async submit(prompts: readonly string[], changes: Partial<SubmitBatchRequest> = {}) {
    const request = { ...submissionOf(prompts), ...changes };
    const { batch } = await callUnary(this.farm.submitBatch.bind(this.farm), request);
    if (!batch) throw new Error("an accepted submission answers its batch");
    return batch;
  }

  get(batchId: string): Promise<GetBatchResponse> {
    const request = { batchId, clipPageSize: 0, clipPageToken: "" };
    return callUnary(this.farm.getBatch.bind(this.farm), request);
  }

  async metrics(): Promise<string> {
    const response = await fetch(`http://${this.http}/metrics`);
    return response.text();
  }
}

/** Runs a coordinator that is expected to fail; resolves to its exit code and what it said. */
export async function failingCoordinator(
  t: TestContext,
  flags: readonly string[],
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  const child = forkCoordinator(t, [...flags, "--log-level", "silent"]);
  let stderr = "";
  child.stderr?.on("data", (chunk) => {
    stderr += chunk;
  });
  const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
  return { code, stderr };
}

export const testSpecMessage: RenderSpec = {
  ...demoSpec,
  ...{ fps: 24, saveFps: 24, steps: 10, guidance: 7, seed: 42n },
};

export function submissionOf(prompts: readonly string[]): SubmitBatchRequest {
  return {
    idempotencyKey: "",
    name: "test",
    spec: testSpecMessage,
    prompts: [...prompts],
    tenant: "",
    priority: undefined,
    preview: undefined,
    deadline: undefined,
  };
}

/** Waits until `check` gives something; throws when it takes longer than `msMax`. */
export async function eventually<T>(
  check: () => Promise<T | undefined> | T | undefined,
  msMax = 10_000,
): Promise<T> {
  const deadline = performance.now() + msMax;
  for (;;) {
    const found = await check();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`not within ${msMax} ms`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function forkCoordinator(t: TestContext, argv: readonly string[]): ChildProcess {
  const flags = argv.includes("--log-level") ? argv : [...argv, "--log-level", "error"];
  const child = fork(program, [...flags], { stdio: ["ignore", "inherit", "pipe", "ipc"] });
  child.stderr?.on("data", (chunk) => {
    if (!argv.includes("silent")) process.stderr.write(chunk);
  });
  t.after(() => ended(child, "SIGKILL"));
  return child;
}

function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((resolve) => {
    child.once("exit", (code) => resolve(code));
    child.kill(signal);
  });
}
