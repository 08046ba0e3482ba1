// What is ready, in the order in which it is due: an index over the state that makes the next
// choice cheap, however much waits. Batches that need the same of a device form a class; in each
// class and tier the tenants stand by how far they were served on each kind of device, and a
// tenant's batches by deadline, rank and age. Rebuilt from the state by a new leader; kept up to
// date event by event.

import { present } from "../../common/assert.js";
import { placesIn } from "./clip-ranges.js";
import { canRender, type DeviceGroup, type Needs } from "./devices.js";
import type { FarmEvent } from "./events.js";
import { servedUntil } from "./fair-share.js";
import { ReadyClips } from "./ready-clips.js";
import type { Rules } from "./rules.js";
import { compareText, SortedList } from "./sorted-list.js";
import { type Batch, type State, tiers } from "./state.js";
import { Timers } from "./timers.js";

/** An unfinished batch in the queue. */
export interface BatchWork {
  readonly batch: Batch;
  readonly workClass: WorkClass;
  readonly ready: ReadyClips;
  /** Where it stands: null while nothing of it is ready. */
  place: Place | null;
  /** How often in a row younger work went before it, because a device was warm for that. */
  passes: number;
  /** The same of a clip, for one whose prompt was encoded on the worker. */
  clipPasses: number;
}

interface Place {
  readonly tier: number;
  readonly rank: number;
}

export interface WorkClass {
  readonly key: string;
  readonly needs: Needs;
  readonly tiers: readonly ClassTier[];
  works: number;
}

interface ClassTier {
  readonly tier: number;
  readonly tenants: Map<string, TenantWork>;
  /** By kind of device. */
  readonly turns: Map<string, SortedList<Turn>>;
}

interface TenantWork {
  readonly tenant: string;
  readonly works: SortedList<BatchWork>;
  /** By kind of device. */
  readonly turns: Map<string, Turn>;
}

/** A tenant's place in the order of one kind of device. */
interface Turn {
  readonly of: TenantWork;
  served: number;
}

type Due = { readonly batch: string; readonly clip: number } | { readonly batch: string };

/** A tier better for every `tierRaiseMs` for which the batch had no device at all. */
export function effectiveTier(batch: Batch, rules: Rules, now: number): number {
  const { tierRaiseMs } = rules;
  if (tierRaiseMs === 0 || batch.leased.size > 0) return batch.priority;
  return Math.max(0, batch.priority - Math.floor((now - batch.waitingSince) / tierRaiseMs));
}

export class WorkQueue {
  readonly #state: State;
  readonly #rules: Rules;
  readonly #works = new Map<string, BatchWork>();
  readonly #classes = new Map<string, WorkClass>();
  /** Where each tenant has something ready. */
  readonly #places = new Map<string, Set<ClassTier>>();
  readonly #timers = new Timers<Due>();
  /** Counts changes of the set of classes. */
  #classesVersion = 0;
  readonly #classesOf = new WeakMap<DeviceGroup, KnownClasses>();

  constructor(state: State, rules: Rules, now: number) {
    this.#state = state;
    this.#rules = rules;
    for (const batch of state.unfinished.values()) this.#sync(batch.id, [], now);
  }

  work(batch: string): BatchWork | undefined {
    return this.#works.get(batch);
  }

  /** Waits that are over. */
  advance(now: number): void {
    for (let due = this.#timers.due(now); due; due = this.#timers.due(now)) {
      const work = this.#works.get(due.batch);
      if (!work) continue;
      if ("clip" in due) this.#syncClip(work, due.clip, now);
      else this.#setRise(work.batch, now);
      this.#syncPlace(work, now);
    }
  }

  /** What an event that was just applied changes. */
  sync(event: FarmEvent, now: number): void {
    switch (event.type) {
      case "BatchAccepted":
      case "BatchCancelled":
      case "BatchPaused":
      case "BatchResumed":
      case "PrioritySet":
      case "BatchMoved":
        this.#sync(event.batch, [], now);
        return;
      case "ClipsRetried":
      case "ClipsSkipped":
      case "ClipsPromoted":
      case "ClipsApproved":
        this.#sync(event.batch, placesIn(event.clips), now);
        return;
      case "LeaseGranted":
      case "AttemptLost":
      case "AttemptFailed":
      case "SegmentCompleted":
      case "PreviewPublished":
      case "ClipPublished":
      case "ClipFailed":
        this.#sync(event.batch, [event.clip], now);
        return;
      default:
    }
  }

  /** Classes of ready work that devices of the group can render. */
  classesFor(group: DeviceGroup): readonly WorkClass[] {
    const known = this.#classesOf.get(group);
    if (known?.version === this.#classesVersion) return known.classes;
    const classes = [...this.#classes.values()].filter(({ needs }) => canRender(group, needs));
    this.#classesOf.set(group, { version: this.#classesVersion, classes });
    return classes;
  }

  classes(): Iterable<WorkClass> {
    return this.#classes.values();
  }

  /** Whether anything of the tier is ready for the group. */
  hasWork(group: DeviceGroup, tier: number): boolean {
    return this.classesFor(group).some(({ tiers }) => (tiers[tier]?.tenants.size ?? 0) > 0);
  }

  /**
   * Ready work of a tier that devices of the group can render, what is due first in front; a tenant
   * that `mayHaveMore` denies is left out.
   */
  *inOrder(
    group: DeviceGroup,
    tier: number,
    mayHaveMore: (tenant: string) => boolean,
  ): Generator<BatchWork> {
    const lists = this.classesFor(group)
      .map(({ tiers }) => present(tiers[tier], "there is such a tier"))
      .filter(({ tenants }) => tenants.size > 0)
      .map((classTier) => this.#turns(classTier, group.kind).items);
    const places = lists.map(() => 0);
    for (;;) {
      const heads = lists.map((items, list) => items[places[list] ?? 0]);
      const next = earliest(heads);
      if (!next) return;
      const works: (readonly BatchWork[])[] = [];
      for (const [list, head] of heads.entries()) {
        if (head?.of.tenant !== next.of.tenant) continue;
        works.push(head.of.works.items);
        places[list] = (places[list] ?? 0) + 1;
      }
      if (mayHaveMore(next.of.tenant)) yield* merged(works);
    }
  }

  #sync(id: string, clips: Iterable<number>, now: number): void {
    const batch = this.#state.batches.get(id);
    const known = this.#works.get(id);
    if (batch?.endedAt === null) {
      const work = known ?? this.#add(batch, now);
      if (known) for (const index of clips) this.#syncClip(work, index, now);
      this.#syncPlace(work, now);
    } else if (known) {
      this.#drop(known);
    }
    if (batch) this.#resort(batch.tenant);
  }

  #add(batch: Batch, now: number): BatchWork {
    const workClass = this.#classOf(batch);
    workClass.works += 1;
    const ready = new ReadyClips();
    const work: BatchWork = { batch, workClass, ready, place: null, passes: 0, clipPasses: 0 };
    this.#works.set(batch.id, work);
    for (const index of batch.waiting) this.#syncClip(work, index, now);
    this.#setRise(batch, now);
    return work;
  }

  #drop(work: BatchWork): void {
    this.#leave(work);
    this.#works.delete(work.batch.id);
    work.workClass.works -= 1;
    if (work.workClass.works > 0) return;
    this.#classes.delete(work.workClass.key);
    this.#classesVersion += 1;
  }

  #classOf({ spec, weightsDigest }: Batch): WorkClass {
    const { model, dtype, device } = spec;
    const key = JSON.stringify([model, weightsDigest, dtype, device]);
    const known = this.#classes.get(key);
    if (known) return known;
    const workClass: WorkClass = {
      key,
      needs: { model, weightsDigest, dtype, device },
      tiers: Array.from({ length: tiers }, (_, tier) => ({
        tier,
        tenants: new Map(),
        turns: new Map(),
      })),
      works: 0,
    };
    this.#classes.set(key, workClass);
    this.#classesVersion += 1;
    return workClass;
  }

  /** A clip waits, and its time has come: then it is ready. */
  #syncClip({ batch, ready }: BatchWork, index: number, now: number): void {
    const clip = batch.waiting.has(index) ? batch.clips.get(index) : undefined;
    if (clip && clip.retryAt <= now) {
      ready.add(clip);
      return;
    }
    ready.delete(index);
    if (clip) this.#timers.set(clip.retryAt, { batch: batch.id, clip: index });
  }

  #setRise({ id, waitingSince }: Batch, now: number): void {
    const { tierRaiseMs } = this.#rules;
    if (tierRaiseMs === 0) return;
    const risen = Math.floor((now - waitingSince) / tierRaiseMs);
    this.#timers.set(waitingSince + (risen + 1) * tierRaiseMs, { batch: id });
  }

  /** Puts the batch where it stands now. */
  #syncPlace(work: BatchWork, now: number): void {
    const { batch, ready, place } = work;
    const isReady = !batch.paused && batch.clipsFresh + ready.size > 0;
    const tier = effectiveTier(batch, this.#rules, now);
    if (isReady && place?.tier === tier && place.rank === batch.rank) return;
    this.#leave(work);
    if (!isReady) return;
    work.place = { tier, rank: batch.rank };
    const classTier = present(work.workClass.tiers[tier], "there is such a tier");
    this.#tenantWork(classTier, batch.tenant).works.add(work);
  }

  #leave(work: BatchWork): void {
    const { batch, workClass, place } = work;
    if (!place) return;
    const classTier = present(workClass.tiers[place.tier], "there is such a tier");
    const tenantWork = present(classTier.tenants.get(batch.tenant), "a tenant has its work");
    tenantWork.works.delete(work);
    work.place = null;
    if (tenantWork.works.items.length > 0) return;
    for (const [kind, turn] of tenantWork.turns) classTier.turns.get(kind)?.delete(turn);
    classTier.tenants.delete(batch.tenant);
    const places = this.#places.get(batch.tenant);
    places?.delete(classTier);
    if (places?.size === 0) this.#places.delete(batch.tenant);
  }

  #tenantWork(classTier: ClassTier, tenant: string): TenantWork {
    const known = classTier.tenants.get(tenant);
    if (known) return known;
    const fresh: TenantWork = { tenant, works: new SortedList(compareWorks), turns: new Map() };
    classTier.tenants.set(tenant, fresh);
    for (const [kind, list] of classTier.turns) this.#addTurn(classTier, kind, list, fresh);
    const places = this.#places.get(tenant) ?? new Set();
    this.#places.set(tenant, places.add(classTier));
    return fresh;
  }

  /** The tenants of a class and tier in the order of a kind of device. */
  #turns(classTier: ClassTier, kind: string): SortedList<Turn> {
    const known = classTier.turns.get(kind);
    if (known) return known;
    const list = new SortedList(compareTurns);
    classTier.turns.set(kind, list);
    for (const of of classTier.tenants.values()) this.#addTurn(classTier, kind, list, of);
    return list;
  }

  #addTurn({ tier }: ClassTier, kind: string, list: SortedList<Turn>, of: TenantWork): void {
    const turn = { of, served: servedUntil(this.#state, of.tenant, { kind, tier }) };
    of.turns.set(kind, turn);
    list.add(turn);
  }

  /** The tenant was charged, or its charge was put right. */
  #resort(tenant: string): void {
    for (const classTier of this.#places.get(tenant) ?? []) {
      const { tier } = classTier;
      for (const [kind, turn] of classTier.tenants.get(tenant)?.turns ?? []) {
        const served = servedUntil(this.#state, tenant, { kind, tier });
        if (served === turn.served) continue;
        const list = classTier.turns.get(kind);
        list?.delete(turn);
        turn.served = served;
        list?.add(turn);
      }
    }
  }
}

interface KnownClasses {
  readonly version: number;
  readonly classes: readonly WorkClass[];
}

function compareTurns(a: Turn, b: Turn): number {
  return a.served - b.served || compareText(a.of.tenant, b.of.tenant);
}

/** Earliest deadline, then rank, then age. */
function compareWorks(a: BatchWork, b: BatchWork): number {
  const [deadlineA, deadlineB] = [a.batch.deadlineAt ?? Infinity, b.batch.deadlineAt ?? Infinity];
  if (deadlineA !== deadlineB) return deadlineA - deadlineB;
  return (a.place?.rank ?? 0) - (b.place?.rank ?? 0) || a.batch.serial - b.batch.serial;
}

function earliest(turns: readonly (Turn | undefined)[]): Turn | undefined {
  let first: Turn | undefined;
  for (const turn of turns) {
    if (turn && (!first || compareTurns(turn, first) < 0)) first = turn;
  }
  return first;
}

/** Several lists that are in order, as one. */
function* merged(lists: readonly (readonly BatchWork[])[]): Generator<BatchWork> {
  const [only] = lists;
  if (lists.length === 1 && only) {
    yield* only;
    return;
  }
  const places = lists.map(() => 0);
  for (;;) {
    let first: number | undefined;
    for (const [list, items] of lists.entries()) {
      const item = items[places[list] ?? 0];
      const best = first === undefined ? undefined : lists[first]?.[places[first] ?? 0];
      if (item && (!best || compareWorks(item, best) < 0)) first = list;
    }
    const next = first === undefined ? undefined : lists[first]?.[places[first] ?? 0];
    if (first === undefined || !next) return;
    places[first] = (places[first] ?? 0) + 1;
    yield next;
  }
}
