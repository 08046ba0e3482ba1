// What a user may get wrong about a model, a latent or a farm, through the command line and down to
// the real engine: one line with code, place and remedy, the code's exit status, no file, no folder
// and no process left.
import assert from "node:assert/strict";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { after, afterEach, test } from "node:test";
import { type ErrorCode, errorCodes } from "../../common/errors.js";
import { CliSandbox } from "../support/cli-process.js";
import {
  claimHeaderLength,
  copyDemoModel,
  rewriteHeader,
  type TensorEntry,
} from "../support/farm-models.js";
import { demoModel } from "../support/farm-processes.js";

const sandbox = new CliSandbox();
after(() => sandbox.dispose());
afterEach(() => sandbox.allGone(2_000));

const output = sandbox.path("output");
const small = ["--frames", "17", "--image-size", "64x64", "--steps", "4", "--threads", "1"];

/** Renders, and expects the error and nothing else. */
async function refused(args: readonly string[], code: ErrorCode, words: RegExp): Promise<void> {
  const prompt = args.includes("--prompt") ? [] : ["--prompt", "a red circle"];
  const head = ["render", ...small, ...prompt, "--output", output];
  const { status, stderr } = await sandbox.run(...head, ...args);
  const errors = stderr.split("\n").filter((line) => line.startsWith("tocafarm: "));
  assert.equal(errors.length, 1, stderr);
  assert.match(errors[0] ?? "", new RegExp(`^tocafarm: ${code}: `));
  assert.match(errors[0] ?? "", words);
  assert.ok(stderr.endsWith(`${errors[0]}\n`), "it is the last that is said");
  assert.doesNotMatch(stderr, /^\s+at /m);
  assert.equal(status, errorCodes[code].exit);
  assert.ok(!existsSync(output), "no output folder is left");
  if (existsSync(sandbox.path("data"))) assert.deepEqual(readdirSync(sandbox.path("data")), []);
}

const weights = "transformer/model.safetensors";
const tensor = "final_layer.linear.weight";

/** Damages, by what is damaged; each gets a whole copy of the demo model. */
const damages: readonly {
  readonly what: string;
  readonly damage: (at: (file: string) => string) => void;
  readonly code: ErrorCode;
  readonly words: RegExp;
}[] = [
  {
    what: "weights that are cut short",
    damage: (at) => truncateSync(at("vae/model.safetensors"), 1_000_000),
    code: "INVALID_CHECKPOINT",
    words: /vae\/model\.safetensors.*(?:cut short|bytes)/,
  },
  {
    what: "a tensor of the wrong shape",
    damage: (at) => rewriteHeader(at(weights), (header) => entryOf(header, tensor).shape.reverse()),
    code: "INVALID_CHECKPOINT",
    words: /final_layer\.linear\.weight.*\[144, 32\].*\[32, 144\]/,
  },
  {
    what: "a tensor that is missing",
    damage: (at) =>
      rewriteHeader(at(weights), (header) => {
        header["other.weight"] = entryOf(header, tensor);
        delete header[tensor];
      }),
    code: "INVALID_CHECKPOINT",
    words: /final_layer\.linear\.weight/,
  },
  {
    what: "offsets beyond the end of the file",
    damage: (at) =>
      rewriteHeader(at(weights), (header) => {
        const [begin, end] = entryOf(header, tensor).data_offsets;
        entryOf(header, tensor).data_offsets = [begin + 2 ** 52, end + 2 ** 52];
      }),
    code: "INVALID_CHECKPOINT",
    words: /final_layer\.linear\.weight/,
  },
  {
    what: "a header longer than any file",
    damage: (at) => claimHeaderLength(at(weights), 2n ** 64n - 1n),
    code: "INVALID_CHECKPOINT",
    words: /transformer\/model\.safetensors.*header.*18446744073709551615/,
  },
  {
    what: "a config that does not fit the weights",
    damage: (at) => {
      const config = JSON.parse(readFileSync(at("transformer/config.json"), "utf8"));
      const text = JSON.stringify({ ...config, hidden_size: "wide" });
      writeFileSync(at("transformer/config.json"), text);
    },
    code: "INVALID_CHECKPOINT",
    words: /hidden_size/,
  },
  {
    what: "a config of no model that is known",
    damage: (at) => writeFileSync(at("transformer/config.json"), '{"hidden_size": 144}'),
    code: "UNSUPPORTED",
    words: /names no model; known are STDiT3/,
  },
  {
    what: "weights that are missing",
    damage: (at) => rmSync(at("text_encoder/model.safetensors")),
    code: "NOT_FOUND",
    words: /text_encoder/,
  },
];

for (const { what, damage, code, words } of damages) {
  test(`a model with ${what} is refused`, async () => {
    const folder = sandbox.path("broken");
    damage(copyDemoModel(folder));
    await refused(["--model", folder], code, words);
    rmSync(folder, { recursive: true });
  });
}

test("an initial latent that is none, or of another size, is refused without a retry", async () => {
  const file = sandbox.path("latent.safetensors");
  writeFileSync(file, "no tensor is in here");
  const args = ["--model", demoModel, "--initial-latent", file];
  await refused(args, "INVALID_ARGUMENT", /the initial latent: .*no safetensors file/);
  const header = JSON.stringify({
    latent: { dtype: "F32", shape: [1, 4, 1, 2, 2], data_offsets: [0, 64] },
  });
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  writeFileSync(file, Buffer.concat([length, Buffer.from(header), Buffer.alloc(64)]));
  await refused(args, "INVALID_ARGUMENT", /\[1, 4, 1, 2, 2\].*\[1, 4, 5, 8, 8\]/);
});

test("a prompt of which nothing is left, and wrong options of a policy, are refused", async () => {
  const model = ["--model", demoModel];
  const markup = [...model, "--prompt", "<br>"];
  await refused(markup, "INVALID_ARGUMENT", /nothing is left of the prompt "<br>"/);
  const option = ["--policy", "toca", "--policy-option", "intervall=3"];
  await refused(
    [...model, ...option],
    "INVALID_ARGUMENT",
    /no option "intervall"; known: .*[ ,]interval \(/,
  );
  const value = ["--policy", "toca", "--policy-option", "interval=0"];
  await refused([...model, ...value], "INVALID_ARGUMENT", /interval="0".*1 to 1000/);
});

test("files that cannot be written or read are told before anything is started", async () => {
  const model = ["--model", demoModel];
  const startedMs = performance.now();
  await refused([...model, "--trace", "/proc/none/t.jsonl"], "IO", /\/proc\/none cannot be/);
  await refused([...model, "--save-latent", sandbox.folder], "IO", /is a folder; name a file/);
  await refused([...model, "--initial-latent", sandbox.folder], "IO", /cannot be read.*folder/);
  assert.ok(performance.now() - startedMs < 6_000);
});

function entryOf(header: Record<string, TensorEntry>, name: string): TensorEntry {
  const entry = header[name];
  assert.ok(entry, `the demo model has ${name}`);
  return entry;
}
