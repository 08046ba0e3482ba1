// Clip after clip in one engine process: whole ones, cancelled ones and ones that fail leave its
// memory where it was, measured after a warm-up, when every pool has its size; and what cannot fit
// is refused before memory is touched. TOCAFARM_TEST_LONG renders ten thousand clips.
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { FarmError } from "../../common/errors.js";
import type { Engine, EngineEvent, RenderOptions } from "../../engine/engine.js";
import { loadDemoEngine } from "../support/demo-engine.js";
import { demoModel } from "../support/farm-processes.js";

const long = process.env["TOCAFARM_TEST_LONG"] === "1";
const clips = long ? 10_000 : 300;
const warmUpClips = Math.floor(clips / 3);
// Were caches kept by whole clips alone, or by cancelled ones alone, it would be 43 MiB in the
// short form: 66 clips of 0.65 MiB.
const growthBytesMax = 24 * 2 ** 20;

const options: RenderOptions = {
  request: {
    ...{ frames: 1, height: 64, width: 64, fps: 8, steps: 5, guidance: 4, sampler: "" },
    policy: { name: "toca", options: { warm: "1" } },
    prompt: "a red circle moves right on a white background",
    seed: 7n,
  },
  initialLatentPath: null,
  saveLatentPath: null,
  traceIndices: false,
  resumeFromPath: null,
  checkpointFolder: null,
  checkpointPeriodSeconds: 10,
};
let engine: Engine;

before(async () => {
  engine = await loadDemoEngine();
});
after(() => engine.close());

async function render(
  changed: Partial<RenderOptions>,
  onEvent: (event: EngineEvent) => void = () => {},
): Promise<unknown> {
  const running = engine.render({ ...options, ...changed }, (event) => {
    onEvent(event);
    if (event.type === "frames") running.releaseFrames();
  });
  return running.result;
}

/** Every third clip is cancelled at its third step, and every third is refused its latent. */
async function renderOneOf(index: number): Promise<void> {
  if (index % 3 === 0) {
    await render({ request: { ...options.request, seed: BigInt(index) } });
  } else if (index % 3 === 1) {
    const cancel = (event: EngineEvent) => {
      if (event.type === "step" && event.step === 2) engine.cancel();
    };
    const request = { ...options.request, steps: 200 }; // more than are done when it arrives
    await assert.rejects(render({ request }, cancel), { code: "CANCELLED" });
  } else {
    const initialLatentPath = join(demoModel, "none.safetensors");
    await assert.rejects(render({ initialLatentPath }), { code: "NOT_FOUND" });
  }
}

test(`${clips} clips in one process leave its memory flat`, async () => {
  for (let i = 0; i < warmUpClips; ++i) await renderOneOf(i);
  const beforeBytes = process.memoryUsage.rss();
  for (let i = warmUpClips; i < clips; ++i) await renderOneOf(i);
  const growthBytes = process.memoryUsage.rss() - beforeBytes;
  console.log(`${clips - warmUpClips} clips: ${(growthBytes / 2 ** 20).toFixed(1)} MiB more`);
  assert.ok(growthBytes < growthBytesMax, `${growthBytes} bytes more, at most ${growthBytesMax}`);
});

test("a clip that cannot fit is refused with what it needs and what there is", async () => {
  const request = { ...options.request, frames: 4096, height: 4096, width: 4096 };
  await assert.rejects(render({ request }), (error: unknown) => {
    assert.ok(error instanceof FarmError);
    assert.equal(error.code, "OUT_OF_MEMORY");
    assert.match(error.message, /needs \d+ MiB, available are \d+ MiB; ask for fewer frames/);
    return true;
  });
  await renderOneOf(0);
});
