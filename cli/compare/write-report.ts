// The three files of a finished comparison: report.json, quality.svg and report.html.
import { readFileSync, statSync } from "node:fs";
import path from "node:path";
import { writeWhole } from "./comparison.js";
import { page, rowsMax } from "./page.js";
import { type Report, reportJson } from "./report.js";
import { scatter } from "./scatter.js";

// A page of this size still opens at once and goes by mail; what has more stays beside it.
const embeddedBytesMax = 64 * 1024 * 1024;

/** Writes them; resolves to the path of the page. */
export async function writeReport(
  report: Report,
  folder: string,
  bytesMax = embeddedBytesMax,
): Promise<string> {
  await writeWhole(path.join(folder, "report.json"), `${JSON.stringify(reportJson(report))}\n`);
  await writeWhole(path.join(folder, "quality.svg"), `${scatter(report)}\n`);
  const file = path.join(folder, "report.html");
  await writeWhole(file, page(report, sourcesOf(report, folder, bytesMax)));
  return file;
}

/** The clips within the page as long as all that it shows fit, else addresses beside it. */
function sourcesOf(report: Report, folder: string, bytesMax: number): (file: string) => string {
  const files = report.policies.flatMap(({ clips }) => clips.slice(0, rowsMax));
  const sizes = files.map(({ file }) => statSync(path.join(folder, file)).size);
  const total = sizes.reduce((sum, size) => sum + size, 0);
  if (total > bytesMax) return (file) => file.split(path.sep).map(encodeURIComponent).join("/");
  return (file) => {
    const type = file.endsWith(".png") ? "image/png" : "video/mp4";
    return `data:${type};base64,${readFileSync(path.join(folder, file), "base64")}`;
  };
}
