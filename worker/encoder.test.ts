// FFmpeg itself runs here: what matters of its arguments is what comes out.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { Encoder, encoderArguments } from "./encoder.js";

async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "tocafarm-encoder-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

const size = { height: 32, width: 48 };
const frameBytes = size.height * size.width * 3;

/** Frames of one colour each. */
function frames(...colours: readonly (readonly [number, number, number])[]): Uint8Array {
  const rgb = new Uint8Array(colours.length * frameBytes);
  rgb.forEach((_, at) => {
    rgb[at] = colours[Math.floor(at / frameBytes)]?.[at % 3] ?? 0;
  });
  return rgb;
}

const red = [220, 20, 30] as const;
const blue = [10, 40, 200] as const;

function pixels(path: string): Buffer {
  return execFileSync("ffmpeg", [
    ...["-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"],
  ]);
}

test("the same frames give the same bytes, without time or version in them", async (t) => {
  const folder = await newFolder(t);
  const contents: Buffer[] = [];
  for (const name of ["a.mp4", "b.mp4"]) {
    const path = join(folder, name);
    const encoder = new Encoder({ path, frames: 3, ...size, fps: 23.976 });
    await encoder.write(frames(red, red));
    await encoder.write(frames(blue));
    await encoder.finish();
    contents.push(await readFile(path));
  }
  assert.ok(contents[0]?.equals(contents[1] ?? Buffer.alloc(0)));
  assert.ok(!contents[0]?.includes("Lavf"));
  assert.ok((contents[0]?.indexOf("moov") ?? -1) < (contents[0]?.indexOf("mdat") ?? -1));
});

test("a video shows the colours that went in", async (t) => {
  const path = join(await newFolder(t), "video.mp4.part");
  const encoder = new Encoder({ path, frames: 2, ...size, fps: 8 });
  await encoder.write(frames(red, blue));
  await encoder.finish();
  const shown = pixels(path);
  assert.equal(shown.length, 2 * frameBytes);
  for (const [frame, colour] of [red, blue].entries()) {
    colour.forEach((value, channel) => {
      const at = frame * frameBytes + frameBytes / 2 + channel;
      assert.ok(Math.abs((shown[at] ?? 0) - value) <= 4, `${shown[at]} is not near ${value}`);
    });
  }
});

test("a lossless video keeps every bit, and the same frames give the same bytes", async (t) => {
  const folder = await newFolder(t);
  const noise = new Uint8Array(3 * frameBytes).map((_, at) => (at * 7919 + (at >> 3) * 31) % 256);
  const contents: Buffer[] = [];
  for (const name of ["a.mkv", "b.mkv"]) {
    const path = join(folder, name);
    const encoder = new Encoder({ path, frames: 3, ...size, fps: 8, lossless: true });
    await encoder.write(noise);
    await encoder.finish();
    assert.ok(pixels(path).equals(noise));
    contents.push(await readFile(path));
  }
  assert.ok(contents[0]?.equals(contents[1] ?? Buffer.alloc(0)));
});

test("an image keeps every bit", async (t) => {
  const path = join(await newFolder(t), "image 100%d.png.part");
  const encoder = new Encoder({ path, frames: 1, ...size, fps: 24 });
  await encoder.write(frames(red));
  await encoder.finish();
  assert.ok(pixels(path).equals(frames(red)));
});

test("FFmpeg's complaint is in the error", async (t) => {
  const path = join(await newFolder(t), "absent", "video.mp4");
  const encoder = new Encoder({ path, frames: 2, ...size, fps: 8 });
  const work = async () => {
    await encoder.write(frames(red, blue));
    await encoder.finish();
  };
  await assert.rejects(work, { code: "ENCODER_FAILED", message: /No such file or directory/ });
  await assert.rejects(encoder.write(frames(red)), { code: "ENCODER_FAILED" });
});

test("killing the encoder ends a write that waits for it", async (t) => {
  const path = join(await newFolder(t), "video.mp4");
  const encoder = new Encoder({ path, frames: 1000, ...size, fps: 8 });
  const writing = assert.rejects(encoder.write(new Uint8Array(1000 * frameBytes)));
  await encoder.kill();
  await writing;
  await assert.rejects(encoder.finish(), { code: "ENCODER_FAILED", message: /SIGKILL/ });
  assert.ok(!existsSync(path) || (await readFile(path)).length < 1000 * frameBytes);
});

test("a path is never read as an option, a protocol or a pattern", () => {
  const options = { path: "-y:%d.mp4", frames: 2, ...size, fps: 8 };
  assert.equal(encoderArguments(options).at(-1), "file:-y:%d.mp4");
});
