// report.html: the findings for a person. One file that needs nothing else, as long as the clips
// fit into it.
import { counted } from "../../common/counted.js";
import { element, escaped } from "../../simulation/plot/svg.js";
import { seconds } from "../table.js";
import { heatmap } from "./heatmap.js";
import { player, playerScript } from "./player.js";
import type { PolicyFindings, Report } from "./report.js";
import { scatter } from "./scatter.js";
import { digits, summaryColumns } from "./summary.js";

/** A browser that holds more players than this is slow to open the page. */
export const rowsMax = 48;

/** Finds the address of a clip's file, given from the comparison's folder. */
export type SourceOf = (file: string) => string;

/** The whole page. */
export function page(report: Report, sourceOf: SourceOf): string {
  const { model, settings, clips } = report;
  const { frames, height, width, steps, guidance } = settings;
  const on = counted(clips.length, "clip");
  const heading = `${model.name}: ${report.policies.length} policies on ${on}`;
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width">',
    `<title>tocafarm compare: ${escaped(model.name)}</title>`,
    `<style>${style}</style></head><body>`,
    element("h1", {}, escaped(heading)),
    element(
      "p",
      {},
      escaped(
        `${frames === 1 ? "Images" : `${frames} frames`} of ${height}x${width}, ` +
          `${counted(steps, "step")}, guidance ${guidance}, rendered by ${report.kind}, ` +
          `weights ${model.weightsDigest}.`,
      ),
    ),
    table(report),
    element("p", {}, escaped(measuresText(report))),
    ...warnings(report.policies),
    scatter(report),
    "<h2>Clips</h2>",
    ...rows(report, sourceOf),
    "<h2>Where tokens came from</h2>",
    `<p>A row is a module of a layer: ${moduleNames(report)} from top to bottom in each block; a ` +
      "column is a step. The darker, the larger the share of tokens from the cache.</p>",
    ...report.policies
      .filter(({ hitRate }) => hitRate > 0)
      .map((policy) => `<h3>${escaped(policy.label)}</h3>${heatmap(policy.hitRates)}`),
    `<script>${playerScript}</script></body></html>`,
    "",
  ].join("\n");
}

const style = `:root { color-scheme: light dark; } body { font: 15px/1.45 system-ui, sans-serif;
margin: 24px auto; max-width: 1200px; padding: 0 16px; } table { border-collapse: collapse; }
th, td { padding: 4px 10px; text-align: right; border-bottom: 1px solid #8884; }
th:first-child, td:first-child { text-align: left; } .scroll, .strip { overflow-x: auto; }
.strip { display: flex; gap: 12px; } figure { margin: 0; flex: none; } figcaption { font-size:
12px; max-width: 260px; } video, img { width: 240px; display: block; background: #8882; }
.controls { display: flex; gap: 12px; margin: 6px 0; } .controls input { flex: 1; max-width: 400px;
} .heatmap { max-width: 100%; height: auto; } .heatmap text { font-size: 9px; fill: currentColor; }
.heatmap .end { text-anchor: end; } .heatmap .middle { text-anchor: middle; }
.heatmap .ground { fill: #8881; } .heatmap .hit { fill: #2f6db5; } .heatmap .unknown { fill: #8886;
} .warning { color: #c2423f; }`;

function table({ policies, measures }: Report): string {
  const shown = summaryColumns(measures);
  const head = shown.map(({ title }) => element("th", {}, escaped(title)));
  const lines = policies.map((policy) =>
    element("tr", {}, ...shown.map(({ text }) => element("td", {}, escaped(text(policy))))),
  );
  const whole = element("table", {}, element("tr", {}, ...head), ...lines);
  return element("div", { class: "scroll" }, whole);
}

/** What the figures are, for who wants to set them beside others. */
function measuresText({ measures, clips }: Report): string {
  const several = clips.length > 1 ? "Qualities are means over the clips, seconds medians. " : "";
  return (
    `${several}Frames are compared without loss with those of none. PSNR is that of the mean ` +
    "squared error over a clip, 100 dB when equal. " +
    (measures.msSsimScales === 0 ? "" : `MS-SSIM has ${measures.msSsimScales} scales. `) +
    (measures.vmaf ? "" : "This FFmpeg has no libvmaf, so there is no VMAF.")
  );
}

/** Each once, with those that have it. */
function warnings(policies: readonly PolicyFindings[]): readonly string[] {
  const texts = new Set(policies.flatMap(({ warnings: told }) => told));
  return [...texts].map((text) => {
    const warned = policies.filter(({ warnings: told }) => told.includes(text));
    const who = warned.map(({ label }) => label).join(", ");
    const line = warned.length === policies.length ? text : `${who}: ${text}`;
    return element("p", { class: "warning" }, escaped(line));
  });
}

function rows(report: Report, sourceOf: SourceOf): readonly string[] {
  const { clips, policies, settings } = report;
  const shown = clips.slice(0, rowsMax).map(({ prompt, seed }, index) =>
    player({
      title: `${prompt} (seed ${seed})`,
      items: policies.map(({ label, clips: of }) => ({
        label,
        note: noteOf(of[index]),
        source: sourceOf(of[index]?.file ?? ""),
      })),
      frames: settings.frames,
      fps: settings.saveFps,
    }),
  );
  const more = clips.length - shown.length;
  if (more > 0) shown.push(`<p>${more} more clips lie in the folder; report.json has all.</p>`);
  return shown;
}

function noteOf(clip: PolicyFindings["clips"][number] | undefined): string {
  if (clip === undefined) return "";
  const quality = clip.quality === null ? "" : `, ${digits(clip.quality.psnrDb, 2)} dB`;
  return `${seconds(clip.seconds.denoise)}${quality}`;
}

function moduleNames({ policies }: Report): string {
  const modules = policies[0]?.hitRates.modules ?? [];
  const names = new Set(modules.map(({ module }) => module.replaceAll("_", "-")));
  return [...names].map(escaped).join(", ");
}
