// What of a SubmitBatch request can be judged by itself: texts, numbers and times within bounds.
// Each check throws INVALID_ARGUMENT with the value, the bound and what to do.

import { counted } from "../../common/counted.js";
import { FarmError } from "../../common/errors.js";
import type { SubmitBatchRequest } from "../../proto/gen/tocafarm/v1/farm.js";
import type { Policy, RenderSpec } from "../core/events.js";
import { fromPolicyMessage, fromSpecMessage } from "./convert.js";

const bounds = {
  promptsMax: 100_000,
  promptBytesTotalMax: 16 * 1024 * 1024,
  promptCharactersMax: 16_384,
  nameCharactersMax: 200,
  policyOptionsMax: 32,
  optionCharactersMax: 8_192, // a schedule for every layer, as calibrate writes it
  rateMax: 1_000,
} as const;

const seedMax = 2n ** 64n - 1n;

/** As the names of workers: they stand in flags, tables and files of configuration. */
const tenantPattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

export function checkPrompts(prompts: readonly string[]): void {
  const { promptsMax, promptCharactersMax, promptBytesTotalMax } = bounds;
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

export function checkedSpec(request: SubmitBatchRequest): RenderSpec {
  if (!request.spec) throw invalid("the batch has no spec");
  const spec = fromSpecMessage(request.spec);
  const { rateMax } = bounds;
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
  checkPolicy(spec.policy);
  checkScores(spec.scores);
  return spec;
}

/** The spec of the preview, which differs from the final one in steps or policy; null = none. */
export function checkedPreview(request: SubmitBatchRequest, spec: RenderSpec): RenderSpec | null {
  const { preview } = request;
  if (!preview) return null;
  const policy = preview.policy ? fromPolicyMessage(preview.policy) : spec.policy;
  checkPolicy(policy);
  const { steps } = preview;
  if (steps === spec.steps && JSON.stringify(policy) === JSON.stringify(spec.policy)) {
    throw invalid(
      `the preview is the final render: both have ${counted(steps, "step")} and ` +
        `policy ${policy.name}; ` +
        "take fewer steps or a policy that reuses more, or no preview",
    );
  }
  return { ...spec, steps, policy };
}

/** A time to come; null = none is given. */
export function checkedDeadline(request: SubmitBatchRequest, now: number): number | null {
  const deadlineAt = request.deadline?.getTime();
  if (deadlineAt === undefined) return null;
  if (deadlineAt > now) return deadlineAt;
  throw invalid(
    `the deadline, ${new Date(deadlineAt).toISOString()}, is over at ` +
      `${new Date(now).toISOString()}; give a later one or none`,
  );
}

/** A timestamp that is none would fail wherever it is written. */
export function checkTimestamp(request: SubmitBatchRequest): void {
  const { deadline } = request;
  if (deadline && Number.isNaN(deadline.getTime())) throw invalid("the deadline is no date");
}

export function checkedTenant({ tenant }: SubmitBatchRequest): string {
  if (tenant === "") return "default";
  if (tenantPattern.test(tenant)) return tenant;
  throw invalid(
    `tenant "${tenant.slice(0, 40)}" is no name; up to 64 letters, digits, ".", "_", "-" make one`,
  );
}

export function shortText(field: string, text: string): string {
  const { nameCharactersMax } = bounds;
  if (text.length <= nameCharactersMax) return text;
  throw invalid(`${field} has ${text.length} characters, ${nameCharactersMax} are allowed`);
}

export function invalid(message: string): FarmError {
  return new FarmError("INVALID_ARGUMENT", message);
}

function checkPolicy(policy: Policy): void {
  const { policyOptionsMax, optionCharactersMax } = bounds;
  shortText("policy.name", policy.name);
  const options = Object.entries(policy.options);
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
}

function checkScores(scores: RenderSpec["scores"]): void {
  for (const name of ["aesthetic", "motion"] as const) {
    const value = scores?.[name] ?? 0;
    if (!Number.isFinite(value)) throw invalid(`the ${name} score is ${value}; give a number`);
  }
  shortText("scores.camera_motion", scores?.cameraMotion ?? "");
}
