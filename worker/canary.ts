// A canary: something small that is rendered on a device that failed too often, for nobody. It goes
// the whole way of a clip, from text to file, and its digest is the same on every device of a kind,
// so a device that computes nonsense is found as well as one that dies.
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { asFarmError, FarmError } from "../common/errors.js";
import { makeFolders } from "../common/folders.js";
import type { Log } from "../common/log.js";
import type { Canary, CanaryResult } from "../proto/gen/tocafarm/v1/worker.js";
import type { ModelRef, RenderJob } from "./engine-messages.js";
import { smallestClip } from "./model-catalog.js";
import type { DeviceStatus, SupervisedRender, Supervisor } from "./supervisor.js";

export interface CanariesOptions {
  readonly models: ReadonlyMap<string, ModelRef>;
  /** Below it each gets a folder. */
  readonly folder: string;
  readonly log: Log;
  readonly onResult: (result: CanaryResult) => void;
}

// Weights may have to be loaded first; a device that needs longer than this is no use.
const canaryMsMax = 300_000;

// The same everywhere and for ever, or digests could not be compared: through every layer, and
// through the sampler more than once, so that a state that is carried over is seen.
const canaryPrompts = { text: "a red circle moves right", class: "0" } as const;
const canarySeed = 7n;
const canarySteps = 3;

/** The canaries of all devices: one a device, and the newest when another one is asked for. */
export class Canaries {
  readonly #options: CanariesOptions;
  readonly #waiting = new Map<string, Canary>();
  /** Its id, by device. */
  readonly #running = new Map<string, string>();

  constructor(options: CanariesOptions) {
    this.#options = options;
  }

  /** Notes a canary until its device's engine is free. */
  ask(canary: Canary, supervisor: Supervisor | undefined): void {
    const { id, device } = canary;
    if (supervisor === undefined) {
      this.#fail(canary, new FarmError("NOT_FOUND", `device ${device} is not here`));
    } else if (supervisor.status === "failed") {
      this.#fail(canary, supervisor.failure ?? notUp(device));
    } else if (this.#running.get(device) !== id) {
      this.#waiting.set(device, canary);
    }
  }

  /** The device's engine is gone: when it does not come up again, its canary fails. */
  deviceGone(device: string, status: DeviceStatus): void {
    const canary = this.#waiting.get(device);
    if (status !== "failed" || canary === undefined) return;
    this.#waiting.delete(device);
    this.#fail(canary, notUp(device));
  }

  /** The device's canary, which no longer waits. */
  take(device: string): Canary | undefined {
    const canary = this.#waiting.get(device);
    this.#waiting.delete(device);
    return canary;
  }

  /** Renders a canary on a free engine and tells what came of it; never rejects. */
  async run(canary: Canary, supervisor: Supervisor): Promise<void> {
    const { id, device } = canary;
    this.#running.set(device, id);
    try {
      const sha256 = await this.#render(canary, supervisor);
      this.#options.log.info({ device, sha256 }, "a canary was rendered");
      this.#options.onResult({ id, device, sha256, failure: undefined });
    } catch (thrown) {
      this.#fail(canary, asFarmError(thrown));
    } finally {
      this.#running.delete(device);
    }
  }

  async #render({ device, model }: Canary, supervisor: Supervisor): Promise<string> {
    const ref = this.#options.models.get(model);
    if (ref === undefined) throw new FarmError("NOT_FOUND", `model ${model} is not here`);
    const folder = join(this.#options.folder, `canary-${device.replace(":", "-")}`);
    let render: SupervisedRender | undefined;
    const overdue = setTimeout(() => render?.cancel(), canaryMsMax);
    try {
      await makeFolders(folder);
      render = supervisor.render(jobOf(ref, folder), () => {});
      const { media } = await render.output;
      return await digestOf(join(folder, media));
    } finally {
      clearTimeout(overdue);
      await rm(folder, { recursive: true, force: true });
    }
  }

  #fail({ id, device }: Canary, { code, message }: FarmError): void {
    this.#options.log.warn({ device, code, reason: message }, "a canary failed");
    this.#options.onResult({ id, device, sha256: "", failure: { code, message } });
  }
}

function notUp(device: string): FarmError {
  return new FarmError("UNAVAILABLE", `the engine on ${device} does not come up`);
}

function jobOf({ name, path, configs, traits }: ModelRef, folder: string): RenderJob {
  const plan = { ...smallestClip(traits), steps: canarySteps };
  return {
    model: { name, path, configs, traits },
    plan,
    prompt: canaryPrompts[traits.prompt],
    scores: {},
    seed: canarySeed,
    saveFps: plan.fps,
    initialLatentPath: null,
    resumeFromPath: null,
    firstStep: 0,
    checkpointPeriodSeconds: Number.MAX_SAFE_INTEGER,
    saveLatent: false,
    saveFrames: false,
    trace: "none",
    folder,
  };
}

async function digestOf(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
