// Hit rates as a picture: a row for each module of each layer, a column for each step, the darker
// the more came from the cache. Grey: nothing is known.
import { element, label, titleOf } from "../../simulation/plot/svg.js";
import type { HitRates, ModulePlace } from "./hit-rates.js";

const left = 110;
const top = 18;
const columnPixels = 14;
const columnPixelsMin = 3;
const plotPixelsMax = 720;
// Many layers get thin rows; three of them still hold a line of text.
const manyRows = 90;
const [rowPixels, thinRowPixels] = [9, 4];
const tickSteps = 5;

/** An SVG to stand in a page. */
export function heatmap({ modules, steps, rates }: HitRates): string {
  const column = Math.max(columnPixelsMin, Math.min(columnPixels, plotPixelsMax / steps));
  const row = modules.length > manyRows ? thinRowPixels : rowPixels;
  const width = left + steps * column;
  const height = top + modules.length * row;
  const rows = modules.map((place, index) => {
    const y = top + index * row;
    const cells = runs(rates[index] ?? []).map(({ first, count, rate }) => {
      const box = { x: left + first * column, y, width: count * column, height: row };
      return element("rect", { ...box, ...fill(rate) });
    });
    return element("g", {}, titleOf(rowTitle(place, rates[index] ?? [])), ...cells);
  });
  const frame = { x: left, y: top, width: steps * column, height: modules.length * row };
  return element(
    "svg",
    { viewBox: `0 0 ${width} ${height}`, width, height, class: "heatmap", role: "img" },
    element("rect", { ...frame, class: "ground" }),
    ...rows,
    ...blockLabels(modules, row),
    ...stepLabels(steps, column),
  );
}

interface Run {
  readonly first: number;
  readonly count: number;
  readonly rate: number | null;
}

/** Neighbours of one rate are one box; what is 0 needs none. */
function runs(rates: readonly (number | null)[]): readonly Run[] {
  const found: Run[] = [];
  rates.forEach((rate, step) => {
    const last = found.at(-1);
    if (last !== undefined && last.rate === rate) {
      found[found.length - 1] = { ...last, count: last.count + 1 };
    } else {
      found.push({ first: step, count: 1, rate });
    }
  });
  return found.filter(({ rate }) => rate !== 0);
}

function fill(rate: number | null): Readonly<Record<string, string | number>> {
  return rate === null ? { class: "unknown" } : { class: "hit", "fill-opacity": rate };
}

function rowTitle({ layer, block, module }: ModulePlace, rates: readonly (number | null)[]) {
  const known = rates.filter((rate) => rate !== null);
  const sum = known.reduce((total, rate) => total + rate, 0);
  const percent = known.length === 0 ? "?" : ((100 * sum) / known.length).toFixed(1);
  return `layer ${layer} ${block} ${module.replaceAll("_", " ")}: ${percent} % from the cache`;
}

/** "3 spatial" where the modules of that block begin. */
function blockLabels(modules: readonly ModulePlace[], row: number): readonly string[] {
  return modules.flatMap(({ layer, block }, index) => {
    const before = modules[index - 1];
    if (before?.layer === layer && before.block === block) return [];
    const place = { x: left - 6, y: top + index * row + 9, class: "tick end" };
    return [label(`${layer} ${block}`, place)];
  });
}

function stepLabels(steps: number, column: number): readonly string[] {
  const every = tickSteps * Math.ceil(columnPixels / column / 2);
  return Array.from({ length: Math.ceil(steps / every) }, (_, index) => {
    const x = left + (index * every + 0.5) * column;
    return label(`${index * every}`, { x, y: top - 5, class: "tick middle" });
  });
}
