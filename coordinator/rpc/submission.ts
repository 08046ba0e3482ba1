// From a SubmitBatch request to a submission that the core can take: bounds, the model that workers
// announce, the plans, and the prompts in the artifact store. Whatever is wrong is told now, with
// the index or the bound, and not when a device finds out.

import { createHash } from "node:crypto";
import { FarmError } from "../../common/errors.js";
import { newBatchId } from "../../common/ids.js";
import { SubmitBatchRequest, type SubmitBatchResponse } from "../../proto/gen/tocafarm/v1/farm.js";
import type { PolicySpec } from "../../proto/gen/tocafarm/v1/render.js";
import { submissionsKeptMs } from "../core/apply.js";
import type { Submission } from "../core/commands.js";
import type { PlanFigures, Preview, RenderSpec } from "../core/events.js";
import type { Farm } from "../core/farm.js";
import type { ModelInfo } from "../core/liveness.js";
import { type Batch, defaultPriority } from "../core/state.js";
import type { ArtifactStore, Planner, PromptStore } from "../ports.js";
import { type AnswerContext, answerWithBatch } from "./batch-verbs.js";
import { checkMemory, type DeviceMemory, memoryWarnings } from "./clip-memory.js";
import { fromPolicyMessage } from "./convert.js";
import {
  checkedDeadline,
  checkedPreview,
  checkedSpec,
  checkedTenant,
  checkPrompts,
  checkTimestamp,
  invalid,
  shortText,
} from "./submission-checks.js";

/** Warnings of a plan that the log keeps, and of each this much. */
const warningsMax = 16;
const warningCharactersMax = 300;

export interface SubmissionContext extends AnswerContext {
  readonly store: ArtifactStore;
  readonly prompts: PromptStore;
  readonly planner: Planner;
}

/** Resolves once the batch is in the log. Throws also what prepareSubmission throws. */
export async function submitBatch(
  request: SubmitBatchRequest,
  context: SubmissionContext,
): Promise<SubmitBatchResponse> {
  const { farm, outlook } = context;
  checkTimestamp(request);
  const bodySha256 = bodyDigest(request);
  const at = farm.now();
  const earlier = await farm.query((now) => {
    const batch = earlierBatch(now, request, bodySha256, at);
    return batch && outlook.batch(now, batch);
  });
  if (earlier) return { batch: earlier };
  const submission = await prepareSubmission(request, bodySha256, context);
  return answerWithBatch(context, { type: "submit", submission });
}

/**
 * What the same submission made before. It is answered whatever has changed since: its deadline may
 * be over, and after a change of leaders no worker may have come back yet.
 */
function earlierBatch(
  { state }: Farm,
  { idempotencyKey }: SubmitBatchRequest,
  bodySha256: string,
  at: number,
): Batch | undefined {
  const earlier = state.submissions.get(idempotencyKey);
  if (earlier?.bodySha256 !== bodySha256 || earlier.at <= at - submissionsKeptMs) return undefined;
  return state.batches.get(earlier.batch);
}

/**
 * Throws INVALID_ARGUMENT, FAILED_PRECONDITION, NOT_FOUND, OUT_OF_MEMORY or UNAVAILABLE; stores the
 * prompts last.
 */
async function prepareSubmission(
  request: SubmitBatchRequest,
  bodySha256: string,
  { farm, store, prompts, planner }: SubmissionContext,
): Promise<Submission> {
  checkPrompts(request.prompts);
  const spec = checkedSpec(request);
  const previewSpec = checkedPreview(request, spec);
  const name = shortText("name", request.name);
  const tenant = checkedTenant(request);
  const idempotencyKey = shortText("idempotency_key", request.idempotencyKey);
  const at = farm.now();
  const deadlineAt = checkedDeadline(request, at);
  const { model, dtype, devices } = await farm.query((now) => findModel(now, spec, at));
  planner.checkPrompts(model, request.prompts);
  await checkInitialLatent(store, spec.initialLatentKey);
  const planned = (of: RenderSpec, asked?: PolicySpec): { spec: RenderSpec; plan: PlanFigures } => {
    const { policy, figures } = planner.plan(model, of, dtype, asked?.calibration);
    checkMemory(figures, devices);
    const warnings = [...memoryWarnings(figures, devices), ...figures.warnings];
    return { spec: { ...of, policy }, plan: bounded({ ...figures, warnings }) };
  };
  const asked = request.spec?.policy;
  const preview = previewSpec && planned(previewSpec, request.preview?.policy ?? asked);
  const final = planned(spec, asked);
  const stored = await prompts.put(request.prompts);
  return {
    batch: newBatchId(at),
    name,
    tenant,
    priority: request.priority ?? defaultPriority,
    spec: final.spec,
    weightsDigest: model.weightsDigest,
    clips: request.prompts.length,
    segments: 1, // clips that are longer than one pass come with their conditioning
    promptsKey: stored.key,
    promptsSha256: stored.sha256,
    plan: final.plan,
    preview: preview && previewOf(preview.spec, preview.plan),
    deadlineAt,
    idempotencyKey,
    bodySha256,
  };
}

function previewOf({ steps, policy }: RenderSpec, plan: PlanFigures): Preview {
  return { steps, policy, plan };
}

/** Of everything but the idempotency key; the order of policy options does not count. */
function bodyDigest(request: SubmitBatchRequest): string {
  const { spec, preview } = request;
  const body = {
    ...request,
    idempotencyKey: "",
    spec: spec && { ...spec, policy: sorted(spec.policy) },
    preview: preview && { ...preview, policy: sorted(preview.policy) },
  };
  return createHash("sha256").update(SubmitBatchRequest.encode(body).finish()).digest("hex");
}

function sorted(policy: PolicySpec | undefined): PolicySpec | undefined {
  return policy && fromPolicyMessage(policy);
}

interface FoundModel {
  readonly model: ModelInfo;
  readonly dtype: string;
  /** Those that match. */
  readonly devices: readonly DeviceMemory[];
}

/** The model as workers announce it, and the devices that could run the batch. */
function findModel(farm: Farm, spec: RenderSpec, at: number): FoundModel {
  const { live } = farm;
  const owners = [...live.workers.values()].filter(({ models }) => models.has(spec.model));
  const model = owners[0]?.models.get(spec.model);
  if (!model) throw unknownModel(farm, spec.model, at);
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
    .flatMap(({ id, devices }) =>
      [...devices.values()].map(({ info }) => ({ ...info, worker: id })),
    )
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
  return {
    model,
    dtype: spec.dtype || first.dtype,
    devices: devices.map(({ name: device, worker, memoryBytes }) => ({
      worker,
      device,
      memoryBytes,
    })),
  };
}

function unknownModel({ live, state, rules }: Farm, name: string, at: number): FarmError {
  const isNewLeader = state.term > 1 && at - live.since <= rules.leaseMs;
  if (isNewLeader) {
    const message = `a new leader waits for its workers, of which none has brought "${name}" yet`;
    return new FarmError("UNAVAILABLE", `${message}; try again in some seconds`);
  }
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

function bounded(plan: PlanFigures): PlanFigures {
  const warnings = plan.warnings
    .slice(0, warningsMax)
    .map((warning) => warning.slice(0, warningCharactersMax));
  return { ...plan, warnings };
}
