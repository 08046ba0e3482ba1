// Report, page and pictures of findings that are known: what stands in them, and that they need
// nothing from elsewhere.
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { heatmap } from "./heatmap.js";
import { page, rowsMax } from "./page.js";
import { policiesMax } from "./policies.js";
import { meanQuality, median, type PolicyFindings, type Report, reportJson } from "./report.js";
import { scatter } from "./scatter.js";
import { summaryText } from "./summary.js";
import { writeReport } from "./write-report.js";

const folder = mkdtempSync(join(tmpdir(), "tocafarm-report-"));
after(() => rmSync(folder, { recursive: true }));

const quality = { psnrDb: 31.25, ssim: 0.95, msSsim: 0.98, vmaf: null } as const;
const seconds = { denoise: 2, total: 3 } as const;
const hitRates = {
  modules: [
    { layer: 0, block: "spatial", module: "self_attention" },
    { layer: 0, block: "spatial", module: "mlp" },
    { layer: 0, block: "temporal", module: "self_attention" },
  ],
  steps: 4,
  rates: [
    [0, 1, 1, 0.5],
    [0, 0, 0, 0],
    [null, null, 0.25, 0.25],
  ],
} as const;

function findings(name: string, more: Partial<PolicyFindings> = {}): PolicyFindings {
  const file = `${name}/clip_0000.mp4`;
  return {
    ...{ label: name, policy: { name, options: {} }, flops: 5e9, flopsRatio: 2, seconds },
    ...{ speedup: 1.5, cacheBytes: 2048, peakBytes: 1e6, hitRate: 0.5, quality, hitRates },
    ...{ warnings: [], clips: [{ file, seconds, flops: 5e9, quality }] },
    ...more,
  };
}

const none = findings("none", { flopsRatio: 1, quality: null, hitRate: 0 });
const report: Report = {
  version: 1,
  model: { name: "demo", weightsDigest: "abc" },
  kind: "cpu",
  settings: { frames: 5, height: 64, width: 64, saveFps: 8, steps: 4, guidance: 4 },
  measures: { msSsimScales: 3, vmaf: false },
  clips: [{ prompt: 'a <b>"bold"</b> prompt', seed: "42" }],
  policies: [none, findings("toca"), findings("fora", { flopsRatio: 1.5, warnings: ["<old>"] })],
};

test("a median is the middle value, or the mean of the middle two", () => {
  assert.equal(median([3, 1, 2]), 2);
  assert.equal(median([4, 1, 2, 3]), 2.5);
  assert.equal(median([7]), 7);
});

test("qualities are averaged, and what one clip lacks has no mean", () => {
  const other = { psnrDb: 33.75, ssim: 0.85, msSsim: null, vmaf: null };
  assert.deepEqual(meanQuality([quality, other]), {
    ...{ psnrDb: 32.5, ssim: 0.8999999999999999, msSsim: null, vmaf: null },
  });
  assert.equal(meanQuality([null, null]), null);
});

test("report.json has names in snake case and policies' options as they are", () => {
  const policy = { name: "toca", options: { fresh_ratio: "0.2" } };
  assert.deepEqual(reportJson({ flopsRatio: 1 / 3, policy, clips: [{ psnrDb: null }] }), {
    ...{ flops_ratio: 0.333333, policy, clips: [{ psnr_db: null }] },
  });
});

test("the table has a line for each policy, and VMAF only when it was measured", () => {
  const lines = summaryText(report).split("\n");
  assert.equal(lines.length, 4);
  assert.match(lines[1] ?? "", /^none +5\.00 GFLOP +1\.00x .* - +- +-$/);
  assert.match(lines[2] ?? "", /^toca .* 2\.00x .* 50\.0 % +31\.25 +0\.9500 +0\.9800$/);
  assert.ok(!lines[0]?.includes("VMAF"));
  const withVmaf = { ...report, measures: { msSsimScales: 3, vmaf: true } };
  assert.match(summaryText(withVmaf), /VMAF/);
});

/** Names of elements that are opened and not closed, or closed and not open. */
function unbalanced(markup: string): readonly string[] {
  const alone = new Set(["meta", "br"]);
  const open: string[] = [];
  for (const [, closing, name = "", own] of markup.matchAll(/<(\/?)([a-z0-9]+)[^<>]*?(\/?)>/g)) {
    if (own === "/" || alone.has(name)) continue;
    if (closing === "") open.push(name);
    else if (open.pop() !== name) return [name];
  }
  return open;
}

test("the page is whole, and shows prompts and warnings as text", () => {
  const html = page(report, (file) => `data:,${file}`);
  assert.deepEqual(unbalanced(html.replace(/<script>.*<\/script>/s, "")), []);
  assert.ok(html.includes("a &lt;b&gt;&quot;bold&quot;&lt;/b&gt; prompt (seed 42)"));
  assert.ok(html.includes("fora: &lt;old&gt;"));
  assert.doesNotMatch(html, /NaN|undefined|Infinity/);
  assert.equal(html.match(/<video /g)?.length, 3);
  const addresses = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address);
  assert.ok(addresses.every((address) => address?.startsWith("data:")));
});

test("images are shown without controls", () => {
  const image = { ...report, settings: { ...report.settings, frames: 1 } };
  const html = page(image, (file) => `data:,${file}`);
  assert.equal(html.match(/<img /g)?.length, 3);
  assert.ok(!html.includes("<video") && !html.includes("<button"));
});

test("a page shows so many clips, and says how many more there are", () => {
  const many = rowsMax + 5;
  const clips = Array.from({ length: many }, (_, at) => ({ prompt: "p", seed: `${at}` }));
  const html = page({ ...report, clips }, () => "data:,");
  assert.equal(html.match(/<section /g)?.length, rowsMax);
  assert.ok(html.includes("5 more clips lie in the folder"));
});

test("a heatmap has a box for each run of one rate, and none for what was computed", () => {
  const svg = heatmap(hitRates);
  assert.deepEqual(unbalanced(svg), []);
  assert.equal(svg.match(/class="hit"/g)?.length, 3);
  assert.ok(svg.includes('width="28" height="9" class="hit" fill-opacity="1"'), "two steps of 14");
  assert.ok(svg.includes('class="unknown"'));
  assert.ok(svg.includes("layer 0 spatial self attention: 62.5 % from the cache"));
  assert.deepEqual(
    [...svg.matchAll(/>(0 [a-z]+)</g)].map(([, name]) => name),
    [...["0 spatial", "0 temporal"]],
  );
});

test("quality over FLOPs has a point for each policy but none, within its frame", () => {
  const svg = scatter(report);
  assert.deepEqual(unbalanced(svg), []);
  const titles = [...svg.matchAll(/<title>([^<]*)</g)].map(([, title]) => title);
  assert.deepEqual(titles.slice(1), ["toca: 50.0 %, 31.25 dB", "fora: 66.7 %, 31.25 dB"]);
  // 50 % of 546 pixels from 64; 31.25 is three quarters down from 35 to 30.
  assert.ok(svg.includes('cx="337" cy="286"'), svg);
});

test("a line joins what no other of its name beats for less", () => {
  const at = (flopsRatio: number, psnrDb: number) =>
    findings("toca", { flopsRatio, quality: { ...quality, psnrDb } });
  const policies = [none, at(2, 31), at(1.25, 33), at(1.6, 30)];
  const svg = scatter({ ...report, policies });
  assert.equal(svg.match(/<circle/g)?.length, 4, "three points and the key");
  // Of 50, 62.5 and 80 % the middle one is worse than the first.
  assert.match(svg, /d="M337 [\d.]+L500.8 [\d.]+" class="line"/);
});

test("the names of as many policies as there may be stand within the picture", () => {
  const names = Array.from({ length: policiesMax }, (_, index) => `policy${index}`);
  const svg = scatter({ ...report, policies: names.map((name) => findings(name)) });
  const [, last] = /y="([\d.]+)"[^>]*>policy23</.exec(svg) ?? [];
  assert.ok(Number(last) < 400, `the last one stands at ${last}`);
});

test("clips are in the page while they fit, and beside it when they do not", async () => {
  for (const { clips } of report.policies) {
    mkdirSync(join(folder, clips[0]?.file ?? "", ".."), { recursive: true });
    writeFileSync(join(folder, clips[0]?.file ?? ""), "clip");
  }
  const file = await writeReport(report, folder, 12);
  assert.equal(file, join(folder, "report.html"));
  assert.match(readFileSync(file, "utf8"), /src="data:video\/mp4;base64,Y2xpcA=="/);
  await writeReport(report, folder, 11);
  assert.match(readFileSync(file, "utf8"), /src="toca\/clip_0000\.mp4"/);
  const { policies } = JSON.parse(readFileSync(join(folder, "report.json"), "utf8"));
  assert.equal(policies[1].quality.psnr_db, 31.25);
  assert.equal(readFileSync(join(folder, "quality.svg"), "utf8"), `${scatter(report)}\n`);
});
