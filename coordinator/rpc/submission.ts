// From a SubmitBatch request to a submission that the core can take: bounds, the model that workers
// announce, the plan, and the prompts in the artifact store. Whatever is wrong is told now, with
// the index or the bound, and not when a device finds out.

import { createHash } from "node:crypto";
import { FarmError } from "../../common/errors.js";
import { newBatchId } from "../../common/ids.js";
import { SubmitBatchRequest } from "../../proto/gen/tocafarm/v1/farm.js";
import type { Submission } from "../core/commands.js";
import type { PlanFigures, RenderSpec } from "../core/events.js";
import type { Liveness, ModelInfo } from "../core/liveness.js";
import { defaultPriority } from "../core/state.js";
import type { ArtifactStore, FarmPort, Planner, PromptStore } from "../ports.js";
import { fromSpecMessage } from "./convert.js";

export const submissionBounds = {
  promptsMax: 100_000,
  promptBytesTotalMax: 16 * 1024 * 1024,
  promptCharactersMax: 16_384,
  nameCharactersMax: 200,
  policyOptionsMax: 32,
  optionCharactersMax: 256,
  rateMax: 1_000,
} as const;

/** Warnings of a plan that the log keeps, and of each this much. */
const warningsMax = 16;
const warningCharactersMax = 300;
const seedMax = 2n ** 64n - 1n;

export interface SubmissionContext {
  readonly farm: FarmPort;
  readonly store: ArtifactStore;
  readonly prompts: PromptStore;
  readonly plan: Planner;
}

/**
 * Throws INVALID_ARGUMENT, FAILED_PRECONDITION, NOT_FOUND or OUT_OF_MEMORY; stores the prompts
 * last.
 */
export async function prepareSubmission(
  request: SubmitBatchRequest,
  context: SubmissionContext,
): Promise<Submission> {
  checkPrompts(request.prompts);
  const spec = checkedSpec(request);
  const bodySha256 = bodyDigest(request);
  const { model, dtype, memoryBytesMax } = await context.farm.query(({ live }) =>
    findModel(live, spec),
  );
  await checkInitialLatent(context.store, spec.initialLatentKey);
  const plan = bounded(context.plan(model, spec, dtype));
  checkMemory(plan, memoryBytesMax);
  const stored = await context.prompts.put(request.prompts);
  return {
    batch: newBatchId(context.farm.now()),
    name: shortText("name", request.name),
    tenant: shortText("tenant", request.tenant) || "default",
    priority: request.priority ?? defaultPriority,
    spec,
    weightsDigest: model.weightsDigest,
    clips: request.prompts.length,
    segments: 1, // clips that are longer than one pass come with their conditioning
    promptsKey: stored.key,
    promptsSha256: stored.sha256,
    plan,
    preview: null,
    deadlineAt: null,
    idempotencyKey: shortText("idempotency_key", request.idempotencyKey),
    bodySha256,
  };
}

/** Of everything but the idempotency key; the order of policy options does not count. */
function bodyDigest(request: SubmitBatchRequest): string {
  const { spec } = request;
  const options = Object.entries(spec?.policy?.options ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  const policy = spec?.policy && { ...spec.policy, options: Object.fromEntries(options) };
  const body = { ...request, idempotencyKey: "", spec: spec && { ...spec, policy } };
  return createHash("sha256").update(SubmitBatchRequest.encode(body).finish()).digest("hex");
}

function checkPrompts(prompts: readonly string[]): void {
  const { promptsMax, promptCharactersMax, promptBytesTotalMax } = submissionBounds;
  if (prompts.length === 0) throw invalid("a batch needs at least one prompt");
  if (prompts.length > promptsMax) {
    throw invalid(
      `${prompts.length} prompts are given, ${promptsMax} are allowed; split the batch`,
    );
  }
  let bytes = 0;
  for (const [index, prompt] of prompts.entries()) {
    if (prompt.trim() === "") throw invalid(`prompt ${index} is empty; say what it shall show`);
    if (prompt.length > promptCharactersMax) {
      throw invalid(
        `prompt ${index} has ${prompt.length} characters, ${promptCharactersMax} are allowed`,
      );
    }
    bytes += Buffer.byteLength(prompt);
  }
  if (bytes > promptBytesTotalMax) {
    throw invalid(
      `the prompts have ${bytes} bytes, ${promptBytesTotalMax} are allowed; split them`,
    );
  }
}

function checkedSpec(request: SubmitBatchRequest): RenderSpec {
  if (!request.spec) throw invalid("the batch has no spec");
  const spec = fromSpecMessage(request.spec);
  const { policyOptionsMax, optionCharactersMax, rateMax } = submissionBounds;
  if (spec.model === "") throw invalid("spec.model is empty; name a model that workers announce");
  shortText("spec.model", spec.model);
  if (!["", "fp32", "bf16"].includes(spec.dtype)) {
    throw invalid(`dtype is "${spec.dtype.slice(0, 20)}"; fp32 and bf16 exist`);
  }
  if (!["", "cpu", "cuda"].includes(spec.device)) {
    throw invalid(`device is "${spec.device.slice(0, 20)}"; cpu and cuda exist`);
  }
  if (!(spec.saveFps > 0 && spec.saveFps <= rateMax)) {
    throw invalid(`save_fps is ${spec.saveFps}; more than 0 and at most ${rateMax} is allowed`);
  }
  if (BigInt(spec.seed) > seedMax) throw invalid(`seed is ${spec.seed}; at most ${seedMax} is`);
  const options = Object.entries(spec.policy.options);
  if (options.length > policyOptionsMax) {
    throw invalid(`the policy has ${options.length} options, ${policyOptionsMax} are allowed`);
  }
  for (const [name, value] of options) {
    if (name.length + value.length > optionCharactersMax) {
      throw invalid(
        `policy option "${name.slice(0, 40)}" has more than ${optionCharactersMax} characters`,
      );
    }
  }
  checkScores(spec.scores);
  return spec;
}

function checkScores(scores: RenderSpec["scores"]): void {
  for (const name of ["aesthetic", "motion"] as const) {
    const value = scores?.[name] ?? 0;
    if (!Number.isFinite(value)) throw invalid(`the ${name} score is ${value}; give a number`);
  }
  shortText("scores.camera_motion", scores?.cameraMotion ?? "");
}

interface FoundModel {
  readonly model: ModelInfo;
  readonly dtype: string;
  /** Of the biggest device that matches; 0 = unknown. */
  readonly memoryBytesMax: number;
}

/** The model as workers announce it, and the devices that could run the batch. */
function findModel(live: Liveness, spec: RenderSpec): FoundModel {
  const owners = [...live.workers.values()].filter(({ models }) => models.has(spec.model));
  const model = owners[0]?.models.get(spec.model);
  if (!model) throw unknownModel(live, spec.model);
  const other = owners.find(
    ({ models }) => models.get(spec.model)?.weightsDigest !== model.weightsDigest,
  );
  if (other) {
    throw new FarmError(
      "FAILED_PRECONDITION",
      `workers ${owners[0]?.id} and ${other.id} announce ${spec.model} with different weights; ` +
        "give both the same model folder",
    );
  }
  const devices = owners
    .flatMap((worker) => [...worker.devices.values()].map(({ info }) => info))
    .filter(({ name }) => spec.device === "" || name.split(":")[0] === spec.device)
    .filter(({ dtype }) => spec.dtype === "" || dtype === spec.dtype);
  const [first] = devices;
  if (!first) {
    const wanted = [spec.device, spec.dtype].filter((text) => text !== "").join(" with ");
    throw new FarmError(
      "FAILED_PRECONDITION",
      `no worker that has ${spec.model} has a ${wanted} device; start one, or ask for another`,
    );
  }
  const unknown = devices.some(({ memoryBytes }) => memoryBytes === 0);
  const memoryBytesMax = unknown ? 0 : Math.max(...devices.map(({ memoryBytes }) => memoryBytes));
  return { model, dtype: spec.dtype || first.dtype, memoryBytesMax };
}

function unknownModel(live: Liveness, name: string): FarmError {
  const known = new Set([...live.workers.values()].flatMap(({ models }) => [...models.keys()]));
  const hint =
    known.size > 0 ? `they have ${[...known].sort().join(", ")}` : "no worker has come yet";
  return new FarmError("FAILED_PRECONDITION", `no worker announces model "${name}"; ${hint}`);
}

async function checkInitialLatent(store: ArtifactStore, key: string): Promise<void> {
  if (key === "") return;
  if (!/^blobs\/[0-9a-f]{64}$/.test(key)) {
    throw invalid("initial_latent_key is no blob; upload the latent and take the key it gets");
  }
  if (!(await store.head(key))) {
    throw new FarmError("NOT_FOUND", `the initial latent ${key} is not in the artifact store`);
  }
}

function checkMemory(plan: PlanFigures, memoryBytesMax: number): void {
  if (memoryBytesMax === 0 || plan.peakBytes <= memoryBytesMax) return;
  throw new FarmError(
    "OUT_OF_MEMORY",
    `a clip needs ${gigabytes(plan.peakBytes)} GB, the biggest device has ` +
      `${gigabytes(memoryBytesMax)} GB; take fewer frames or a smaller size`,
  );
}

function gigabytes(bytes: number): string {
  return (bytes / 1e9).toFixed(1);
}

function bounded(plan: PlanFigures): PlanFigures {
  const warnings = plan.warnings
    .slice(0, warningsMax)
    .map((warning) => warning.slice(0, warningCharactersMax));
  return { ...plan, warnings };
}

function shortText(field: string, text: string): string {
  const { nameCharactersMax } = submissionBounds;
  if (text.length <= nameCharactersMax) return text;
  throw invalid(`${field} has ${text.length} characters, ${nameCharactersMax} are allowed`);
}

function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}
