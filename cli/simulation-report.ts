// What a simulated farm did, for people: tables of waits, shares and batches, and two plots that a
// terminal can show.
import { textPlot } from "../simulation/plot/text.js";
import type {
  BatchFigures,
  StudyResult,
  TenantFigures,
  WaitFigures,
} from "../simulation/study/result.js";
import { type Column, seconds, share, table } from "./table.js";

const batchesShownMax = 20;
const plotColumns = 72;
const plotRows = 6;

const waitColumns: readonly Column<WaitFigures>[] = [
  { title: "tenant", text: ({ tenant }) => tenant },
  { title: "priority", align: "right", text: ({ tier }) => `${tier}` },
  { title: "clips", align: "right", text: ({ clips }) => `${clips}` },
  { title: "wait p50", align: "right", text: ({ p50Seconds }) => seconds(p50Seconds) },
  { title: "p95", align: "right", text: ({ p95Seconds }) => seconds(p95Seconds) },
  { title: "max", align: "right", text: ({ maxSeconds }) => seconds(maxSeconds) },
];

const tenantColumns: readonly Column<TenantFigures>[] = [
  { title: "tenant", text: ({ tenant }) => tenant },
  { title: "weight", align: "right", text: ({ weight }) => `${weight}` },
  { title: "of weights", align: "right", text: ({ shareOfWeight }) => share(shareOfWeight, 1) },
  {
    title: "while all waited",
    align: "right",
    text: ({ shareWhileAllWait }) =>
      shareWhileAllWait === null ? "-" : share(shareWhileAllWait, 1),
  },
  { title: "in all", align: "right", text: ({ shareOfDevices }) => share(shareOfDevices, 1) },
  {
    title: "device time",
    align: "right",
    text: ({ deviceSeconds }) => seconds(deviceSeconds),
  },
];

const batchColumns: readonly Column<BatchFigures>[] = [
  { title: "batch", text: ({ batch }) => batch },
  { title: "tenant", text: ({ tenant }) => tenant },
  { title: "priority", align: "right", text: ({ tier }) => `${tier}` },
  { title: "submitted at", align: "right", text: (each) => seconds(each.submittedSeconds) },
  { title: "clips", align: "right", text: ({ clips, published }) => `${published}/${clips}` },
  { title: "failed", align: "right", text: ({ failed }) => `${failed}` },
  {
    title: "time to finish",
    align: "right",
    text: (each) => (each.seconds === null ? "-" : seconds(each.seconds)),
  },
  {
    title: "deadline",
    text: ({ deadlineMissed }) => {
      if (deadlineMissed === null) return "";
      return deadlineMissed ? "missed" : "kept";
    },
  },
];

/** All of it, in the order in which one asks. */
export function resultText(result: StudyResult): string {
  const { batches, refusedBatches } = result;
  const more = batches.length - batchesShownMax;
  return [
    summary(result),
    "",
    table(tenantColumns, result.tenants),
    "",
    table(waitColumns, result.waits),
    "",
    table(batchColumns, batches.slice(0, batchesShownMax)),
    ...(more > 0 ? [`and ${more} more; --json has them all`] : []),
    ...(refusedBatches > 0 ? [`${refusedBatches} batches were refused: too much waited`] : []),
    "",
    ...faults(result),
    plot(result, "devices busy", ({ busy }) => sum(busy), result.devices),
    "",
    plot(result, "clips that wait", ({ backlog }) => sum(backlog)),
  ].join("\n");
}

function summary({ name, devices, seconds: took, utilisation, seed }: StudyResult): string {
  const busy = share(utilisation, 1);
  const done = `done after ${seconds(took)}`;
  return `${name}: ${devices} devices, busy ${busy} of their time, ${done}; seed ${seed}`;
}

function faults({ attempts, work, failovers, deadlines }: StudyResult): readonly string[] {
  const { done, lost, failed, superseded, resumed, reasons } = attempts;
  const causes = Object.entries(reasons).map(([reason, times]) => `${reason} ${times}`);
  const kept = deadlines.kept + deadlines.missed;
  return [
    `attempts: ${done} done, ${lost} interrupted, ${failed} failed, ${resumed} resumed from a ` +
      `checkpoint, ${superseded} reported too late`,
    ...(causes.length > 0 ? [`reasons: ${causes.join(", ")}`] : []),
    `device time lost: ${seconds(work.lostDeviceSeconds)} ` +
      `(${share(work.lostDeviceSeconds, work.usedDeviceSeconds)}), kept by checkpoints: ` +
      `${seconds(work.keptByCheckpointsDeviceSeconds)}; leaders replaced: ${failovers}`,
    ...(kept > 0 ? [`deadlines: ${deadlines.kept} kept, ${deadlines.missed} missed`] : []),
    "",
  ];
}

type Sample = StudyResult["series"][number];

function plot(
  { series, seconds: took }: StudyResult,
  title: string,
  pick: (sample: Sample) => number,
  max?: number,
): string {
  const values = series.map((sample) => pick(sample));
  const top = max ?? Math.max(1, ...values);
  return textPlot({
    title,
    values,
    max: top,
    seconds: took,
    columns: plotColumns,
    rows: plotRows,
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
