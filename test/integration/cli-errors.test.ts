// Bad input to the command line: each error is one line on stderr that names the value and the
// remedy, with the exit status of its code, and leaves nothing behind.
import assert from "node:assert/strict";
import { cpSync, existsSync, truncateSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { after, test } from "node:test";
import { errorCodes } from "../../common/errors.js";
import { packageVersion } from "../../common/version.js";
import { CliSandbox } from "../support/cli-process.js";

const sandbox = new CliSandbox();
after(() => sandbox.dispose());

const model = "models/demo";
const output = sandbox.path("output");

async function refused(args: readonly string[], code: keyof typeof errorCodes, words: RegExp) {
  const { status, stderr } = await sandbox.run(...args);
  const lines = stderr.trimEnd().split("\n");
  const last = lines.at(-1) ?? "";
  assert.ok(last.startsWith(`tocafarm: ${code}: `), `${args.join(" ")} says: ${stderr}`);
  assert.match(last, words);
  assert.equal(lines.filter((line) => line.startsWith("tocafarm: ")).length, 1);
  assert.equal(status, errorCodes[code].exit);
}

const wrongCommandLines: readonly (readonly [args: string, words: RegExp])[] = [
  ["rendr", /unknown command 'rendr' \(Did you mean render\?\)/],
  ["render --promt x", /unknown option '--promt' \(Did you mean --prompt/],
  ["render --prompt x", /--model DIR is required/],
  [`render --model ${model}`, /no prompt is given/],
  [`render --model ${model} --prompt x --steps 0`, /--steps is 0; a whole number from 1/],
  [`render --model ${model} --prompt x --seed -1`, /--seed is -1/],
  [`render --model ${model} --prompt x --image-size 7x7`, /sides are 8 to 8192/],
  [`render --model ${model} --prompt x --resolution 9p`, /known are 144p/],
  [`render --model ${model} --prompt x --trace-indices`, /needs --trace FILE/],
  [`render --model ${model} --prompt x --frames 1 --save-frames f.mkv`, /is for videos/],
  [`render --model ${model} --prompt x --policy tooca`, /tooca.*known/],
  [`render --model ${model} --prompt x --policy-option interval`, /NAME=VALUE/],
  [`render --model ${model} --prompt x --dtype fp8`, /fp8.*fp32, bf16/],
  ["estimate --modle demo", /unknown option '--modle' \(Did you mean --model/],
  ["estimate --steps 3", /--model NAME is required/],
  ["estimate --model open-sora-v1.2 --policy toca --policy-option a", /--policy-option is a/],
  [`compare --model ${model} --prompt x`, /--policies LIST is required/],
  ["compare --policies toca --prompt x", /--model DIR is required/],
  [`compare --model ${model} --policies toca`, /no prompt is given/],
  [`compare --model ${model} --prompt x --policies tooca`, /tooca.*known/],
  [`compare --model ${model} --prompt x --policies toca(inter=3)`, /inter.*known|knows/],
  [`compare --model ${model} --prompt x --policies toca --seeds 0`, /--seeds is 0/],
  [
    `compare --model ${model} --prompt x --policies toca --policy toca`,
    /unknown option '--policy'/,
  ],
  ["show", /missing required argument 'batch'/],
  ["ls --coordinator nowhere", /is no address; write HOST:PORT/],
  ["pause", /missing required argument 'batch'/],
  ["priority b0 5", /the tier is 5; a whole number from 0 to 4/],
  ["move b0 middle", /Allowed choices are first, last/],
  ["skip b0", /missing required argument 'clips'/],
  ["retry b0 1,x --coordinator 127.0.0.1:9", /CLIPS has "x"; 0-9,12/],
  ["reject b0 3-1 --coordinator 127.0.0.1:9", /3-1, which begins behind its end/],
  ["link b0 --coordinator 127.0.0.1:9", /"b0" is no clip; one is named like/],
  ["link b0 --valid 5", /--valid is 5; 90s, 45m, 2h or 7d/],
  [`submit --model ${model} --prompt x --deadline tomorrow`, /--deadline is tomorrow; a time such/],
  [`submit --model ${model} --prompt x --deadline 2020-01-01T00:00Z`, /2020.*which is over/],
  [`submit --model ${model} --prompt x --preview-steps 0`, /--preview-steps is 0/],
  [`submit --model ${model} --prompt x --preview-policy-option a`, /--preview-policy-option is a/],
];

test("a wrong command line is one line with the remedy", async () => {
  for (const [args, words] of wrongCommandLines) {
    await refused(args.split(" "), "INVALID_ARGUMENT", words);
  }
});

test("an empty prompt in a file is refused with its line", async () => {
  const file = sandbox.path("prompts.txt");
  writeFileSync(file, "a red circle\n\na blue star\n");
  const args = ["render", "--model", model, "--prompts", file];
  await refused(args, "INVALID_ARGUMENT", /prompts\.txt:2 is an empty prompt/);
});

test("a model that is not there is named", async () => {
  const args = ["render", "--model", "/nowhere/model", "--prompt", "x"];
  await refused(args, "NOT_FOUND", /\/nowhere\/model is missing/);
});

test("a truncated checkpoint is refused and leaves neither output nor processes", async () => {
  const broken = sandbox.path("broken");
  cpSync(model, broken, { recursive: true });
  truncateSync(`${broken}/transformer/model.safetensors`, 100_000);
  const args = ["render", "--model", broken, "--prompt", "x", "--output", output];
  await refused(args, "INVALID_CHECKPOINT", /model\.safetensors/);
  assert.equal(existsSync(output), false);
  await sandbox.allGone(2_000);
});

test("a render that cannot fit says what it needs and what there is", async () => {
  const size = ["--frames", "4096", "--image-size", "8192x8192"];
  const args = ["render", "--model", model, "--prompt", "x", "--output", output, ...size];
  await refused(args, "OUT_OF_MEMORY", /needs [\d.]+ .B.*[\d.]+ .B/);
  assert.equal(existsSync(output), false);
  await sandbox.allGone(2_000);
});

test("an output folder that cannot be made is told before anything starts", async () => {
  const args = ["render", "--model", model, "--prompt", "x", "--output"];
  await refused([...args, "/dev/null/renders"], "IO", /\/dev\/null\/renders cannot be written to/);
  // In /proc a recursive mkdir of Node's would try for ever.
  await refused([...args, "/proc/renders"], "IO", /\/proc\/renders cannot be written to/);
  const wrongTrace = [...args, output, "--trace", "/dev/null/t/trace.jsonl"];
  await refused(wrongTrace, "IO", /\/dev\/null\/t cannot be written to/);
  await refused([...args, output, "--initial-latent", "/no/z"], "NOT_FOUND", /\/no\/z cannot be/);
  assert.equal(existsSync(output), false);
  await refused(["up", "--model", model, "--data", "/proc/data"], "IO", /\/proc\/data cannot be/);
});

test("without a coordinator a client says how to start one", async () => {
  await refused(["ls"], "UNAVAILABLE", /no coordinator runs on .*tocafarm up/);
  await refused(
    ["ls", "--coordinator", "127.0.0.1:9"],
    "UNAVAILABLE",
    /at 127\.0\.0\.1:9.*ECONNREF/,
  );
});

test("a port in use is told", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  assert.ok(typeof address === "object" && address !== null);
  const listen = `127.0.0.1:${address.port}`;
  try {
    const data = sandbox.path("never-used");
    const up = ["up", "--model", model, "--data", data];
    await refused([...up, "--listen", listen], "FAILED_PRECONDITION", /in use/);
    await refused([...up, "--http", listen], "FAILED_PRECONDITION", /in use/);
    assert.equal(existsSync(data), false, "a farm that never ran leaves no folder");
  } finally {
    server.close();
  }
  await sandbox.allGone(2_000);
});

test("the farm's own programs tell their errors like all commands", async () => {
  const data = ["--data", sandbox.path("alone")];
  await refused(["coordinator", ...data, "--lissten", "x"], "INVALID_ARGUMENT", /--listen\?/);
  const nobody = ["--listen", "0.0.0.0:0", "--nats", "nats://127.0.0.1:1"];
  await refused(["coordinator", ...data, ...nobody], "INVALID_ARGUMENT", /give --advertise/);
  await refused(["coordinator", ...data, "--rules", "/no"], "INVALID_ARGUMENT", /--rules \/no: /);
  await refused(["worker", "--coordinatr", "x"], "INVALID_ARGUMENT", /--coordinator\?/);
});

test("help fits a screen, and every command has examples or passes its own help on", async () => {
  const { status, stdout } = await sandbox.run("--help");
  assert.equal(status, 0);
  const lines = stdout.split("\n");
  assert.ok(lines.length <= 49, `${lines.length} lines`);
  assert.ok(lines.every((line) => line.length <= 80));
  const commands = [...stdout.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1] ?? "");
  assert.deepEqual(commands.sort().join(" "), allCommands);
  for (const command of commands) {
    const help = await sandbox.run(command, "--help");
    assert.equal(help.status, 0, command);
    assert.match(help.stdout, /Examples?:|--log-level/, command);
  }
  assert.equal((await sandbox.run("--version")).stdout.trim(), packageVersion());
});

test("who reads no further is told nothing of it", async () => {
  const help = sandbox.start("submit", "--help");
  help.child.stdout?.destroy();
  const { status, stderr } = await help.ended;
  assert.deepEqual([status, stderr], [0, ""]);
});

const allCommands =
  "approve calibrate cancel compare coordinator doctor drain estimate farm link ls move pause " +
  "priority promote reject release render resume retry show simulate skip submit up verify watch " +
  "worker workers";

test("the doctor finds what is here and says what is not", async () => {
  const { stdout } = await sandbox.run("doctor", "--json");
  const found: readonly { what: string; status: string }[] = JSON.parse(stdout);
  const missing = found.filter(({ status }) => status === "missing");
  assert.deepEqual(missing, []);
  const bad = await sandbox.run("doctor", "--data", "/dev/null/data");
  assert.equal(bad.status, 1);
  assert.match(bad.stdout, /data folder +missing/);
});
