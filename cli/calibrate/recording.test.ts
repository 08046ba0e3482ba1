import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { type RecordedRender, type Recording, readRecording, writeRecording } from "./recording.js";

const folder = mkdtempSync(join(tmpdir(), "tocafarm-recording-"));
after(() => rmSync(folder, { recursive: true }));

const render: RecordedRender = {
  ...{ model: "demo", model_digest: "ab", steps: 2, width: 64, height: 48, frames: 17 },
  ...{ fps: 8, guidance: 4, sampler: "rflow", dtype: "fp32", prompts: ["a star"], seed: "42" },
};
const module = { layer: 0, block: "spatial", module: "mlp" } as const;
const recording: Recording = {
  render,
  clips: [
    [
      {
        ...{ step: 0, timestep: 1000, stream: 2, trunk: [], output: 0 },
        modules: [{ ...module, changes: [] }],
      },
      {
        ...{ step: 1, timestep: 500, stream: 3, trunk: [0.25], output: 1.5 },
        modules: [{ ...module, changes: [0.125] }],
      },
    ],
  ],
};

test("a recording comes back from its file, and a file that is not there is none", async () => {
  const file = join(folder, "whole.json");
  await writeRecording(file, recording);
  assert.deepEqual(await readRecording(file, render), recording);
  assert.equal(await readRecording(join(folder, "nowhere.json"), render), undefined);
});

test("a recording of other renders, or a damaged one, is refused", async () => {
  const file = join(folder, "other.json");
  await writeRecording(file, recording);
  const other = { ...render, prompts: ["a circle"] };
  await assert.rejects(readRecording(file, other), /with another prompts: choose another/);
  await assert.rejects(readRecording(file, { ...render, steps: 3 }), /with another steps/);
  const damaged = { render, clips: [[{ trunk: [] }, { trunk: ["x"] }]] };
  writeFileSync(file, JSON.stringify(damaged));
  await assert.rejects(readRecording(file, render), /is damaged/);
  writeFileSync(file, "{");
  await assert.rejects(readRecording(file, render), /is no recording/);
});
