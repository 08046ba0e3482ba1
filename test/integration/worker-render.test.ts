// What a worker does with a lease, from Hello to the files in the store: a real worker process with
// real engine processes (on the engine's test double), FFmpeg, and a coordinator's end over real
// gRPC.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { testLease, WorkerLinkServer } from "../support/worker-link-server.js";
import { startWorkerProcess } from "../support/worker-process.js";

const coordinator = new WorkerLinkServer();
before(() => coordinator.start());
after(() => coordinator.stop());

function probe(path: string): { readonly [field: string]: string } {
  const shown = ["-select_streams", "v", "-count_frames", "-show_entries"];
  const fields = "stream=codec_name,width,height,pix_fmt,nb_read_frames,r_frame_rate,color_space";
  const text = execFileSync("ffprobe", ["-v", "error", ...shown, fields, path], {
    encoding: "utf8",
  });
  return Object.fromEntries([...text.matchAll(/^(\w+)=(.*)$/gm)].map((found) => found.slice(1)));
}

test("a lease becomes a video, a manifest and a profile in the store", async (t) => {
  const worker = await startWorkerProcess(t, { coordinator: coordinator.address });
  const hello = await coordinator.hello();
  assert.equal(hello.workerId, "tester");
  assert.equal(hello.models[0]?.name, "demo");
  assert.match(hello.models[0]?.transformerConfig ?? "", /STDiT3/);
  await coordinator.idle();

  const lease = testLease(
    {},
    { saveLatent: true, saveFrames: true, trace: "TRACE_DETAIL_INDICES" },
  );
  coordinator.lease(lease);
  const done = await coordinator.completed(lease.attempt);
  const names = done.artifacts.map(({ key }) => key.slice(lease.artifactPrefix.length));
  assert.deepEqual(names, [
    "video.mp4",
    "manifest.json",
    "profile.json",
    "latent.safetensors",
    "trace.jsonl",
    "frames.mkv",
  ]);
  for (const { key, sha256, sizeBytes } of done.artifacts) {
    const content = readFileSync(join(worker.artifactsFolder, key));
    assert.equal(createHash("sha256").update(content).digest("hex"), sha256);
    assert.equal(BigInt(content.length), sizeBytes);
  }
  const video = join(worker.artifactsFolder, done.artifacts[0]?.key ?? "");
  assert.deepEqual(probe(video), {
    codec_name: "h264",
    width: "64",
    height: "64",
    pix_fmt: "yuv420p",
    color_space: "bt709",
    r_frame_rate: "8/1",
    nb_read_frames: "17",
  });
  const frames = probe(join(worker.artifactsFolder, `${lease.artifactPrefix}frames.mkv`));
  assert.deepEqual([frames["codec_name"], frames["nb_read_frames"]], ["ffv1", "17"]);
  const read = (name: string) =>
    readFileSync(join(worker.artifactsFolder, lease.artifactPrefix, name));
  const manifest = JSON.parse(read("manifest.json").toString());
  assert.equal(manifest.sha256, done.artifacts[0]?.sha256);
  assert.equal(manifest.seed, "7");
  assert.equal(manifest.cleaned_prompt, "a red circle moves right");
  assert.match(manifest.kind, /^double fp32 ffmpeg-/);
  const trace = read("trace.jsonl")
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.equal(trace.length, 10 * 6 * 2 * 3);
  const computed = trace.reduce((sum, line) => sum + line.tokens_computed, 0);
  assert.equal(BigInt(computed), done.totals?.tokensComputed);
  const profile = JSON.parse(read("profile.json").toString());
  assert.equal(profile.steps.length, 10);
  assert.equal(profile.columns.length, profile.steps[0].modules[0].length);
  assert.equal(profile.steps[0].modules.length, 36);
  assert.deepEqual(readdirSync(join(worker.dataFolder, "attempts")), []);
});

test("two attempts of a clip have the same bytes, another seed has others", async (t) => {
  const said = coordinator.said.length;
  await startWorkerProcess(t, { coordinator: coordinator.address });
  const digests: string[][] = [];
  const first = testLease();
  for (const lease of [
    first,
    testLease({ again: first, attempt: 2 }),
    { ...testLease(), seed: 8n },
  ]) {
    await coordinator.idle(said);
    coordinator.lease(lease);
    const { artifacts } = await coordinator.completed(lease.attempt, said);
    digests.push(artifacts.slice(0, 2).map(({ sha256 }) => sha256));
  }
  assert.deepEqual(digests[1], digests[0]);
  assert.notEqual(digests[2]?.[0], digests[0]?.[0]);
});

test("one frame becomes a PNG", async (t) => {
  const said = coordinator.said.length;
  const worker = await startWorkerProcess(t, { coordinator: coordinator.address });
  await coordinator.idle(said);
  const lease = testLease({}, { frames: 1, height: 61, width: 77 });
  coordinator.lease(lease);
  const { artifacts } = await coordinator.completed(lease.attempt);
  const path = join(worker.artifactsFolder, artifacts[0]?.key ?? "");
  assert.match(path, /image\.png$/);
  const { codec_name, width, height } = probe(path);
  assert.deepEqual({ codec_name, width, height }, { codec_name: "png", width: "72", height: "56" });
});

test("what cannot be rendered fails with its code, and the next clip renders", async (t) => {
  const said = coordinator.said.length;
  const worker = await startWorkerProcess(t, { coordinator: coordinator.address });
  const cases = [
    {
      lease: testLease({ prompt: "an outofmemory circle" }),
      code: "OUT_OF_MEMORY",
      why: /no room/,
    },
    { lease: testLease({ prompt: "  " }), code: "INVALID_ARGUMENT", why: /prompt/ },
    { lease: testLease({}, { model: "other" }), code: "NOT_FOUND", why: /here are: demo/ },
    { lease: testLease({}, { dtype: "bf16" }), code: "UNSUPPORTED", why: /this worker's is fp32/ },
    { lease: testLease({}, { steps: 0 }), code: "INVALID_ARGUMENT", why: /steps is 0/ },
    {
      lease: testLease({}, { initialLatentKey: "blobs/absent" }),
      code: "NOT_FOUND",
      why: /blobs\/absent is not in the artifact store/,
    },
    { lease: { ...testLease(), artifactPrefix: "../../x/" }, code: "INVALID_ARGUMENT", why: /key/ },
  ];
  for (const { lease, code, why } of cases) {
    await coordinator.idle(said);
    coordinator.lease(lease);
    const failed = await coordinator.failed(lease.attempt);
    assert.equal(failed.failure?.code, code);
    assert.match(failed.failure?.message ?? "", why);
    assert.ok(failed.childDead);
    assert.ok(!existsSync(join(worker.artifactsFolder, "clips", lease.clipId)));
  }
  const lease = testLease();
  coordinator.lease(lease);
  await coordinator.completed(lease.attempt);
});

test("metrics have every layer with zero from the start, and count what a clip did", async (t) => {
  const said = coordinator.said.length;
  const worker = await startWorkerProcess(t, { coordinator: coordinator.address });
  const scrape = async () => (await fetch(`http://${await worker.http()}/metrics`)).text();
  const mlp = 'device="cpu",model="demo",layer="5",block="temporal",module="mlp"';
  const before = await scrape();
  assert.ok(before.includes(`tocafarm_tokens_total{${mlp},outcome="reused"} 0\n`));
  assert.ok(before.includes(`tocafarm_module_calls_total{${mlp}} 0\n`));
  assert.ok(before.includes('tocafarm_engine_restarts_total{device="cpu",reason="crash"} 0\n'));
  assert.ok(before.includes('tocafarm_stage_seconds_count{stage="upload"} 0\n'));
  assert.equal(before.match(/^tocafarm_tokens_total\{/gm)?.length, 6 * 2 * 3 * 2);

  await coordinator.idle(said);
  const lease = testLease();
  coordinator.lease(lease);
  const { totals } = await coordinator.completed(lease.attempt);
  const after = await scrape();
  assert.ok(after.includes(`tocafarm_module_calls_total{${mlp}} 10\n`));
  assert.ok(after.includes('tocafarm_step_seconds_count{device="cpu",model="demo"} 10\n'));
  assert.ok(after.includes('tocafarm_stage_seconds_count{stage="upload"} 1\n'));
  const reused = [...after.matchAll(/^tocafarm_tokens_total\{.*outcome="reused"\} (\d+)$/gm)];
  const sum = reused.reduce((total, [, value]) => total + BigInt(value ?? 0), 0n);
  assert.equal(sum, totals?.tokensReused);
});

test("a model that cannot be loaded ends the worker with one line and its exit code", async (t) => {
  const worker = await startWorkerProcess(t, {
    coordinator: coordinator.address,
    env: { TOCAFARM_DOUBLE_FAULT: "opening" },
  });
  assert.equal(await worker.ended(), 4);
  assert.match(String(worker.log.at(-1)), /INVALID_CHECKPOINT: the weights are damaged$/);
});

test("a data folder that another worker has is refused", async (t) => {
  const said = coordinator.said.length;
  const first = await startWorkerProcess(t, { coordinator: coordinator.address });
  await coordinator.idle(said);
  const folder = join(first.dataFolder, "..");
  const second = await startWorkerProcess(t, { coordinator: coordinator.address, folder });
  assert.equal(await second.ended(), 4);
  assert.match(String(second.log.at(-1)), /in use by another process/);
});
