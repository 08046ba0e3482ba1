// What an agent says, as commands. Everything is bounded and checked here; an agent that breaks a
// bound is cut off with the reason.

import { FarmError } from "../../common/errors.js";
import { artifactPrefix, checkpointKey, clipId } from "../../common/ids.js";
import type {
  AttemptProgress,
  CanaryResult,
  Checkpoint,
  Completed,
  ConnectRequest,
  Device,
  Failed,
  Hello,
  Model,
} from "../../proto/gen/tocafarm/v1/worker.js";
import type { Command } from "../core/commands.js";
import type { AttemptReport, DeviceInfo, ModelInfo, WorkerHello } from "../core/liveness.js";
import { isKey } from "../ports.js";
import { fromFailureMessage, fromRefMessage, fromTotalsMessage } from "./convert.js";
import { boundedCount } from "./peer-bounds.js";

const bounds = {
  devices: 64,
  models: 64,
  attempts: 1_024,
  artifacts: 16,
  configCharacters: 1024 * 1024,
  // The latent of the longest clip in fp32, with room.
  checkpointBytes: 1024 * 1024 * 1024,
} as const;

const namePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/;
const devicePattern = /^(cpu|cuda:\d{1,3})$/;
const sha256Pattern = /^[0-9a-f]{64}$/;
const textCharactersMax = 300;

const conditions = {
  DEVICE_STATE_STARTING: "starting",
  DEVICE_STATE_READY: "ready",
  DEVICE_STATE_FAILED: "failed",
} as const;

/** Throws INVALID_ARGUMENT for a Hello that is none. */
export function fromHello(hello: Hello): WorkerHello {
  if (!namePattern.test(hello.workerId)) {
    throw invalid(
      `worker_id "${hello.workerId.slice(0, 40)}" is no name; ` +
        'up to 100 letters, digits, ".", "_", "-" make one',
    );
  }
  atMost("devices", hello.devices, bounds.devices);
  atMost("models", hello.models, bounds.models);
  const { completed, failed, checkpoints } = hello;
  const reports = [...completed, ...failed, ...checkpoints].map(({ attempt }) => attempt);
  atMost("attempts", [...hello.held, ...reports], bounds.attempts);
  return {
    id: hello.workerId,
    version: hello.version.slice(0, textCharactersMax),
    devices: hello.devices.map(fromDevice),
    models: hello.models.map(fromModel),
    // What ended while the connection was down is still held until the report, which follows, is
    // heard.
    held: [...hello.held, ...reports].map(fromRefMessage),
    draining: hello.draining,
  };
}

/**
 * The command that a later message of `worker` stands for; undefined for a message of a newer
 * agent.
 */
export function fromMessage(
  worker: string,
  message: ConnectRequest["message"],
): Command | undefined {
  switch (message?.$case) {
    case "progress": {
      const { attempts, idleDevices, draining } = message.value;
      atMost("attempts", attempts, bounds.attempts);
      atMost("idle_devices", idleDevices, bounds.devices);
      const reports = attempts.map(fromProgress);
      return { type: "progress", worker, attempts: reports, idleDevices, draining };
    }
    case "checkpoint":
      return fromCheckpoint(worker, message.value);
    case "completed":
      return fromCompleted(worker, message.value);
    case "failed":
      return fromFailed(worker, message.value);
    case "canaryResult":
      return fromCanaryResult(worker, message.value);
    case "deviceChanged":
      if (!message.value.device) throw invalid("DeviceChanged names no device");
      return { type: "device", worker, device: fromDevice(message.value.device) };
    case "hello":
      throw invalid("a connection has one Hello");
    case undefined:
      return undefined;
  }
}

/** An attempt's files lie under its own prefix, by plain names; else it is no completion. */
export function fromCompleted(worker: string, message: Completed): Command {
  const ref = fromRefMessage(message.attempt);
  atMost("artifacts", message.artifacts, bounds.artifacts);
  const prefix = artifactPrefix(clipId(ref.batch, ref.clip), ref.attempt);
  const artifacts = message.artifacts.map(({ key, sha256, sizeBytes }) => {
    if (!key.startsWith(prefix) || key.length > textCharactersMax || !isKey(key)) {
      throw invalid(`artifact "${key.slice(0, 100)}" does not lie under ${prefix}`);
    }
    if (!sha256Pattern.test(sha256)) throw invalid(`artifact ${key} has no SHA-256`);
    return { key, sha256, sizeBytes: boundedCount(sizeBytes) };
  });
  if (artifacts.length === 0) throw invalid(`the completion of ${prefix} has no artifact`);
  return { type: "completed", worker, ref, artifacts, totals: fromTotalsMessage(message.totals) };
}

export function fromFailed(worker: string, message: Failed): Command {
  const ref = fromRefMessage(message.attempt);
  const failure = fromFailureMessage(message.failure);
  return { type: "failed", worker, ref, failure, childDead: message.childDead };
}

/** It lies where the attempt's checkpoint of that step belongs; anything else is none. */
export function fromCheckpoint(worker: string, message: Checkpoint): Command {
  const ref = fromRefMessage(message.attempt);
  const { step, artifact } = message;
  const key = checkpointKey(clipId(ref.batch, ref.clip), ref.attempt, step);
  if (step < 1 || artifact?.key !== key) {
    throw invalid(`a checkpoint lies at "${artifact?.key.slice(0, 100) ?? ""}" instead of ${key}`);
  }
  if (!sha256Pattern.test(artifact.sha256)) throw invalid(`checkpoint ${key} has no SHA-256`);
  const sizeBytes = boundedCount(artifact.sizeBytes);
  if (sizeBytes < 1 || sizeBytes > bounds.checkpointBytes) {
    throw invalid(
      `checkpoint ${key} has ${sizeBytes} bytes, 1 to ${bounds.checkpointBytes} may be`,
    );
  }
  const checkpoint = {
    step,
    artifact: { key, sha256: artifact.sha256, sizeBytes },
    totals: fromTotalsMessage(message.totals),
  };
  return { type: "checkpoint", worker, ref, checkpoint };
}

/** A canary without a digest has failed, whether it says so or not. */
function fromCanaryResult(worker: string, message: CanaryResult): Command {
  const { id, device, sha256 } = message;
  checkDevice(device);
  if (id.length > textCharactersMax) throw invalid(`a canary's id has ${id.length} characters`);
  if (sha256 !== "" && !sha256Pattern.test(sha256)) throw invalid(`canary ${id} has no SHA-256`);
  const failed = sha256 === "" || message.failure !== undefined;
  const failure = failed ? fromFailureMessage(message.failure) : null;
  return { type: "canary_result", worker, device, id, sha256: failed ? "" : sha256, failure };
}

function fromProgress(progress: AttemptProgress): AttemptReport {
  const { stage, step, steps, totals, attempt } = progress;
  return {
    ...fromRefMessage(attempt),
    stage: stage.slice(0, textCharactersMax),
    step,
    steps,
    totals: totals ? fromTotalsMessage(totals) : null,
  };
}

function fromDevice(device: Device): DeviceInfo {
  const { name, kind, memoryBytes, dtype, state, loadedModel } = device;
  checkDevice(name);
  if (kind.length > textCharactersMax) {
    throw invalid(`the kind of ${name} has ${kind.length} characters`);
  }
  const condition = Object.hasOwn(conditions, state)
    ? conditions[state as keyof typeof conditions] // one of its keys, as was just asked
    : "failed";
  if (loadedModel.length > textCharactersMax) throw invalid(`${name} holds a model without a name`);
  return { name, kind, memoryBytes: boundedCount(memoryBytes), dtype, condition, loadedModel };
}

function checkDevice(name: string): void {
  if (devicePattern.test(name)) return;
  throw invalid(`device "${name.slice(0, 40)}" is none; cpu and cuda:N exist`);
}

function fromModel(model: Model): ModelInfo {
  const { name, weightsDigest, transformerConfig, vaeConfig, textEncoderConfig, modelIndex } =
    model;
  if (name === "" || name.length > textCharactersMax) throw invalid("a model has no name");
  const texts = [weightsDigest, transformerConfig, vaeConfig, textEncoderConfig, modelIndex];
  if (texts.some((text) => text.length > bounds.configCharacters)) {
    throw invalid(`the config of ${name} has more than ${bounds.configCharacters} characters`);
  }
  return { name, weightsDigest, transformerConfig, vaeConfig, textEncoderConfig, modelIndex };
}

function atMost(what: string, list: readonly unknown[], max: number): void {
  if (list.length > max) throw invalid(`${list.length} ${what} are given, ${max} are allowed`);
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
