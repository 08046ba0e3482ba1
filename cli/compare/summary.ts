// The table of a comparison: a line for each policy, the same in a terminal and on the page.
import { bytes, type Column, flops, seconds, share, table } from "../table.js";
import type { PolicyFindings, Report } from "./report.js";

const columns: readonly Column<PolicyFindings>[] = [
  { title: "policy", text: ({ label }) => label },
  { title: "FLOPs", text: (policy) => flops(policy.flops) },
  { title: "fewer", text: ({ flopsRatio }) => `${flopsRatio.toFixed(2)}x` },
  { title: "denoise", text: (policy) => seconds(policy.seconds.denoise) },
  { title: "faster", text: ({ speedup }) => `${speedup.toFixed(2)}x` },
  { title: "total", text: (policy) => seconds(policy.seconds.total) },
  { title: "cache", text: ({ cacheBytes }) => bytes(cacheBytes) },
  { title: "from cache", text: ({ hitRate }) => share(hitRate, 1) },
  { title: "PSNR, dB", text: ({ quality }) => digits(quality?.psnrDb, 2) },
  { title: "SSIM", text: ({ quality }) => digits(quality?.ssim, 4) },
  { title: "MS-SSIM", text: ({ quality }) => digits(quality?.msSsim, 4) },
  { title: "VMAF", text: ({ quality }) => digits(quality?.vmaf, 1) },
];

/** Without those that were not measured; all but the first are numbers. */
export function summaryColumns(measures: Report["measures"]): readonly Column<PolicyFindings>[] {
  return columns
    .filter(({ title }) => title !== "VMAF" || measures.vmaf)
    .map((column, index) => ({ ...column, align: index === 0 ? "left" : "right" }));
}

/** For a terminal. */
export function summaryText({ policies, measures }: Report): string {
  return table(summaryColumns(measures), policies);
}

/** A number with so many digits; "-" where there is none. */
export function digits(value: number | null | undefined, count: number): string {
  return value === null || value === undefined ? "-" : value.toFixed(count);
}
