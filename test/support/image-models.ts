// Tiny PixArt-alpha and DiT model folders with random weights: links to the parts of the golden
// cases, laid out as the hub's repositories are.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { packageRoot } from "../../common/paths.js";

const golden = path.join(packageRoot(), "test", "golden", "models");

/** Makes a folder `pixart` for pictures of 128x128 from captions; resolves to its path. */
export function makePixart(below: string): string {
  const parts = { transformer: "pixart-tiny", text_encoder: "t5-tiny", tokenizer: "t5-tiny" };
  return linked(path.join(below, "pixart"), parts);
}

/** Makes a folder `dit` for pictures of 128x128 of ten classes, two of them with names. */
export function makeDit(below: string): string {
  const folder = linked(path.join(below, "dit"), { transformer: "dit-tiny" });
  const index = { _class_name: "DiTPipeline", id2label: { 3: "ox, bull", 7: "cow" } };
  writeFileSync(path.join(folder, "model_index.json"), JSON.stringify(index));
  return folder;
}

function linked(folder: string, parts: Readonly<Record<string, string>>): string {
  mkdirSync(folder);
  for (const [part, model] of Object.entries({ ...parts, vae: "image-vae-tiny" })) {
    symlinkSync(path.join(golden, model), path.join(folder, part));
  }
  return folder;
}
