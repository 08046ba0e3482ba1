// What must be true of a lease at the moment at which it is granted: the clip is owed just that,
// from just there, the device may have it, and nothing that comes first was passed over.

import type { LeaseGranted } from "../../coordinator/core/events.js";
import type { Rules } from "../../coordinator/core/rules.js";
import type { Ledger } from "./ledger.js";
import { isBarred, isOverLimit, matches, type Place, type Places, readyClip } from "./readiness.js";
import { deviceName, type LedgerBatch, type LedgerListener, type OpenClip } from "./records.js";
import { promised } from "./violation.js";

export interface GrantsOptions {
  readonly ledger: Ledger;
  readonly rules: Rules;
  readonly places: Places;
  /** One in so many grants is held against everything that is better and ready. */
  readonly tiersEvery: number;
}

export function grantsChecker({
  ledger,
  rules,
  places,
  tiersEvery,
}: GrantsOptions): LedgerListener {
  let grants = 0;
  return {
    onGrant(event, batch, clip) {
      const name = `${event.batch}/${event.clip}/${event.attempt} on ${deviceName(event)}`;
      const place = places.get(deviceName(event));
      promised(
        place?.device.kind === event.kind,
        "leases are of devices that there are",
        () => name,
      );
      if (place === undefined) return;
      checkClip(event, batch, clip, name);
      checkDevice({ event, batch, clip, place, ledger, rules, name });
      grants += 1;
      if (grants % tiersEvery === 0) checkTiers({ event, batch, place, ledger, rules, name });
    },
  };
}

/** The clip is owed this, and may go on from just there. */
function checkClip(
  event: LeaseGranted,
  batch: LedgerBatch,
  clip: OpenClip | undefined,
  name: string,
): void {
  promised(!batch.paused, "a paused batch gets nothing", () => name);
  const previews = batch.accepted.preview !== null && !clip?.previewed;
  promised(event.preview === previews, "a preview comes first, and once", () => name);
  const approved = previews || batch.accepted.preview === null || clip?.approved === true;
  promised(approved, "a verdict comes before the final render", () => name);
  const segment = clip?.segmentsDone ?? 0;
  promised(event.segment === segment, "segments come one after the other", () => name);
  const retryAt = clip?.retryAt ?? 0;
  promised(event.at >= retryAt, "a wait is waited", () => `${name} at ${event.at}, not ${retryAt}`);
  const stored = clip?.checkpoint;
  const step = stored?.kind === event.kind ? stored.step : 0;
  promised(event.resumeStep === step, "an attempt begins at the last checkpoint", () => {
    return `${name} begins at step ${event.resumeStep}, not ${step}`;
  });
}

interface Grant {
  readonly event: LeaseGranted;
  readonly batch: LedgerBatch;
  readonly place: Place;
  readonly ledger: Ledger;
  readonly rules: Rules;
  readonly name: string;
}

/** The device may have it. */
function checkDevice({
  event,
  batch,
  clip,
  place,
  ledger,
  rules,
  name,
}: Grant & { readonly clip: OpenClip | undefined }): void {
  promised(matches(batch, place), "a clip goes where it can be rendered", () => name);
  const above = clip?.memoryBytesAbove ?? 0;
  const fits = above === 0 || place.device.memoryBytes > above;
  promised(fits, "out of memory goes to a bigger device", () => name);
  promised(!ledger.drained.has(event.worker), "a drained worker gets nothing", () => name);
  const free = !ledger.quarantined.has(deviceName(event));
  promised(free, "a quarantined device gets nothing", () => name);
  const barred = isBarred(batch, event.worker, rules);
  promised(!barred, "a barred worker gets nothing of the batch", () => name);
  const live = ledger.devices.get(deviceName(event)) ?? [];
  const begun = live.length <= 1 && live.every(({ begun: works }) => works);
  promised(begun, "one lease ahead, never two", () => {
    return `${name}, which has ${live.map(({ event: { attempt } }) => attempt).join(", ")}`;
  });
  promised(!isOverLimit(ledger, batch, rules), "a tenant keeps within its limit", () => name);
}

/** Nothing of a better tier could have had the device. */
function checkTiers({ event, batch, place, ledger, rules, name }: Grant): void {
  const { tier, at } = event;
  const rose = tier <= batch.priority && tier >= 0;
  promised(rose, "a batch never sinks below its tier", () => `${name} in tier ${tier}`);
  for (const other of ledger.unfinished.values()) {
    if (other.priority >= tier) continue;
    const index = readyClip(ledger, other, place, { rules, at });
    promised(index === undefined, "a better tier comes first", () => {
      const { batch: id } = other.accepted;
      return `${name} of tier ${tier} goes before ${id}/${index} of tier ${other.priority}`;
    });
  }
}
