// What the passing of time alone brings about: leases that nobody renewed are lost, attempts that
// stand still fail, clips that nobody may run fail, quarantined devices are tried, and attempts are
// cut for better tiers.

import { lost } from "./attempts.js";
import { preempt } from "./preemption.js";
import { tryDevices } from "./quarantine.js";
import { failStarved } from "./starvation.js";
import { failStuck } from "./stuck.js";
import { isFull, type Sweep } from "./sweep.js";

export function expire(sweep: Sweep): void {
  loseSilent(sweep);
  failStuck(sweep);
  // A new leader waits until every agent had the time to come back.
  const { live, rules } = sweep.known;
  if (sweep.now - live.since > rules.leaseMs) {
    failStarved(sweep);
    preempt(sweep);
  }
  tryDevices(sweep);
}

function loseSilent(sweep: Sweep): void {
  const { known, now } = sweep;
  for (const { lease, renewedAt } of known.live.leases.values()) {
    if (now - renewedAt <= known.rules.leaseMs || isFull(sweep)) return; // the oldest come first
    sweep.record(lost(known, lease, "silent", now));
  }
}
