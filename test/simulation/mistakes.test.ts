// Checkers that find nothing could be checkers that see nothing: here the core is wrapped so that
// it makes one mistake, and the simulation must find it, name the promise, and shrink the world to
// a history that a person can read.

import assert from "node:assert/strict";
import { test } from "node:test";
import { nothing } from "../../coordinator/core/commands.js";
import type { RenderTotals } from "../../coordinator/core/events.js";
import { handle } from "../../coordinator/core/farm.js";
import { checkSeed } from "../../simulation/check.js";
import type { Handle } from "../../simulation/leader.js";

interface Mistake {
  readonly name: string;
  /** Any of these promises may be the first one that is seen to be broken. */
  readonly broken: RegExp;
  readonly handle: Handle;
}

const mistakes: readonly Mistake[] = [
  {
    name: "files of a superseded attempt are published under the holder's name",
    broken: /only the holder's files are published|a report is about its own attempt/,
    handle: (farm, command, now, sequence) => {
      if (command.type !== "completed") return handle(farm, command, now, sequence);
      const { ref, artifacts, totals } = command;
      const holder = farm.state.batches.get(ref.batch)?.clips.get(ref.clip)?.lease;
      if (!holder) return handle(farm, command, now, sequence);
      const { batch, clip, attempt, worker } = holder;
      const taken = { type: "completed", worker, ref: { batch, clip, attempt } } as const;
      return handle(farm, { ...taken, artifacts, totals }, now, sequence);
    },
  },
  {
    name: "the failure of an attempt is passed over",
    broken: /every clip ends|no device idles beside ready work|the books agree/,
    handle: (farm, command, now, sequence) =>
      command.type === "failed" && command.ref.clip === 0
        ? nothing
        : handle(farm, command, now, sequence),
  },
  {
    name: "a late report is not counted",
    broken: /a late report is counted/,
    handle: (farm, command, now, sequence) => {
      const decision = handle(farm, command, now, sequence);
      return { ...decision, effects: decision.effects.filter(({ type }) => type !== "superseded") };
    },
  },
  {
    name: "files that are in use are thrown away",
    broken: /files in use are not discarded/,
    handle: (farm, command, now, sequence) => {
      const decision = handle(farm, command, now, sequence);
      const effects = decision.effects.map((effect) =>
        effect.type === "superseded" ? { ...effect, discard: true } : effect,
      );
      return { ...decision, effects };
    },
  },
  {
    name: "leases come from worse tiers than they should",
    broken: /a better tier comes first|a batch never sinks below its tier/,
    handle: (farm, command, now, sequence) => {
      const decision = handle(farm, command, now, sequence);
      const events = decision.events.map((event) =>
        event.type === "LeaseGranted" ? { ...event, tier: event.tier + 1 } : event,
      );
      return { ...decision, events };
    },
  },
  {
    name: "a tenant's limit is forgotten",
    broken: /a tenant keeps within its limit/,
    handle: (farm, command, now, sequence) =>
      handle({ ...farm, rules: { ...farm.rules, tenants: {} } }, command, now, sequence),
  },
  {
    name: "free devices get nothing while others work",
    broken: /no device idles beside ready work/,
    handle: (farm, command, now, sequence) =>
      command.type === "place" && farm.state.leases.size > 0
        ? nothing
        : handle(farm, command, now, sequence),
  },
  {
    name: "a checkpoint is lost between the report and the log",
    broken: /a checkpoint is stored/,
    handle: (farm, command, now, sequence) =>
      command.type === "checkpoint" ? nothing : handle(farm, command, now, sequence),
  },
  {
    name: "what is folded in is not what is logged",
    broken: /a replay gives the same state|the books agree|core's own assertions/,
    handle: (farm, command, now, sequence) => {
      const decision = handle(farm, command, now, sequence);
      const events = decision.events.map((event) =>
        event.type === "ClipPublished" ? { ...event, totals: doubled(event.totals) } : event,
      );
      return { ...decision, events };
    },
  },
];

function doubled(totals: RenderTotals): RenderTotals {
  return { ...totals, flops: 2 * totals.flops };
}

/** A mistake shows in one of so many worlds. */
const seedsMax = 60;

for (const { name, broken, handle: wrong } of mistakes) {
  test(`it is found when ${name}`, () => {
    for (let seed = 0; seed < seedsMax; seed++) {
      const { failure } = checkSeed(seed, wrong);
      if (failure === null) continue;
      const [head = ""] = failure.split("\n");
      assert.match(head, broken);
      assert.match(failure, /shrunk in \d+ runs to [1-9] incidents/, "the history is short");
      return;
    }
    assert.fail(`no world of ${seedsMax} shows it`);
  });
}
