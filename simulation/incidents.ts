// How an incident of the scenario befalls the world.

import type { SimulatedAgent } from "./agent.js";
import { rangeOf } from "./client.js";
import type { SimulatedEngine } from "./engine.js";
import type { Incident } from "./scenario.js";
import type { World } from "./world.js";

/** What the scenario says to happen now, happens. */
export function befall(world: World, incident: Incident): void {
  switch (incident.do) {
    case "submit":
    case "cancel":
    case "pause":
    case "pause_cut":
    case "resume":
    case "set_priority":
    case "move":
    case "retry":
    case "skip":
    case "promote":
    case "approve":
    case "reject":
    case "drain_worker":
    case "undrain_worker":
    case "release_device":
      ask(world, incident);
      return;
    case "crash_leader": {
      const coordinator = world.seat.holder ?? 0;
      befallCoordinator(world, { ...incident, do: "crash_coordinator", coordinator });
      return;
    }
    case "crash_coordinator":
    case "freeze_coordinator":
    case "cut_off_coordinator":
    case "step_clock":
      befallCoordinator(world, incident);
      return;
    case "lose_append":
      world.log.loseNext(incident.written);
      return;
    default: {
      const agent = at(world.agents, incident.agent);
      if (agent !== undefined) befallAgent(world, agent, incident);
    }
  }
}

type Asked = Extract<
  Incident,
  {
    do:
      | "submit"
      | "cancel"
      | "pause"
      | "pause_cut"
      | "resume"
      | "set_priority"
      | "move"
      | "retry"
      | "skip"
      | "promote"
      | "approve"
      | "reject"
      | "drain_worker"
      | "undrain_worker"
      | "release_device";
  }
>;

function ask({ client, agents }: World, incident: Asked): void {
  switch (incident.do) {
    case "submit":
      client.submit(incident.batch);
      return;
    case "cancel":
    case "resume": {
      const { do: type } = incident;
      client.askOf(incident.batch, (batch) => ({ type, batch }));
      return;
    }
    case "pause":
    case "pause_cut": {
      const cutRunning = incident.do === "pause_cut";
      client.askOf(incident.batch, (batch) => ({ type: "pause", batch, cutRunning }));
      return;
    }
    case "set_priority": {
      const { do: type, priority } = incident;
      client.askOf(incident.batch, (batch) => ({ type, batch, priority }));
      return;
    }
    case "move": {
      const { do: type, place } = incident;
      client.askOf(incident.batch, (batch) => ({ type, batch, place }));
      return;
    }
    case "drain_worker":
    case "undrain_worker": {
      const worker = at(agents, incident.agent)?.spec.id ?? "";
      client.ask({ type: "drain_worker", worker, undo: incident.do === "undrain_worker" });
      return;
    }
    case "release_device": {
      const agent = at(agents, incident.agent);
      const device = agent && at(agent.engines, incident.device)?.spec.name;
      if (!agent || !device) return;
      client.ask({ type: "release_device", worker: agent.spec.id, device });
      return;
    }
    default: {
      const { do: type, first, count } = incident;
      const submitted = at(client.submitted, incident.batch);
      if (submitted === undefined) return;
      const clips = rangeOf(submitted.spec, first, count);
      client.ask({ type, batch: submitted.id, clips });
    }
  }
}

type OfCoordinator = Extract<
  Incident,
  { do: "crash_coordinator" | "freeze_coordinator" | "cut_off_coordinator" | "step_clock" }
>;

function befallCoordinator(world: World, incident: OfCoordinator): void {
  const coordinator = at(world.coordinators, incident.coordinator);
  if (coordinator === undefined) return;
  const { timeline } = world;
  switch (incident.do) {
    case "crash_coordinator":
      if (!coordinator.process.alive) return;
      coordinator.crash();
      timeline.after(incident.forMs, () => coordinator.start());
      return;
    case "freeze_coordinator":
      coordinator.process.freeze(incident.forMs);
      for (const dialler of world.diallers) {
        if (dialler.coordinator === coordinator.index)
          dialler.frozen("coordinator", incident.forMs);
      }
      return;
    case "cut_off_coordinator":
      coordinator.setCutOff(true);
      timeline.after(incident.forMs, () => coordinator.setCutOff(false));
      return;
    case "step_clock":
      coordinator.stepClock(incident.byMs);
  }
}

type OfAgent = Extract<Incident, { readonly agent: number }>;

function befallAgent(world: World, agent: SimulatedAgent, incident: OfAgent): void {
  const dialler = at(world.diallers, incident.agent);
  const engine = "device" in incident ? at(agent.engines, incident.device) : undefined;
  if (!agent.process.alive || dialler === undefined) return;
  switch (incident.do) {
    case "crash_agent":
      agent.crash();
      world.timeline.after(incident.forMs, () => world.startAgent(agent, dialler));
      return;
    case "stop_agent":
      agent.drain(() => {
        agent.crash();
        world.timeline.after(incident.forMs, () => world.startAgent(agent, dialler));
      });
      return;
    case "freeze_agent":
      agent.process.freeze(incident.forMs);
      dialler.frozen("agent", incident.forMs);
      return;
    case "break_store":
      agent.setStoreBroken(true);
      world.timeline.after(incident.forMs, () => agent.setStoreBroken(false));
      return;
    case "reset_link":
      dialler.reset();
      return;
    case "partition":
      dialler.partition(incident.way, incident.forMs);
      return;
    case "repeat_reports":
      agent.repeatReports(incident.count);
      return;
    case "damage_checkpoints":
      agent.damageCheckpoints(incident.count);
      return;
    default:
      if (engine !== undefined) befallEngine(world, engine, incident);
  }
}

function befallEngine(world: World, engine: SimulatedEngine, incident: OfAgent): void {
  switch (incident.do) {
    case "crash_engine":
      engine.crash({ code: "ENGINE_CRASH", message: "the engine process died" });
      return;
    case "hang_engine":
      engine.hang();
      return;
    case "slow_device":
      engine.slowDown(incident.factor);
      world.timeline.after(incident.forMs, () => engine.slowDown(1));
      return;
    case "break_device": {
      // A canary that differs is known only once a right one of its kind was seen.
      const known = world.watch.kindsTried.has(engine.spec.kind);
      engine.setBroken(known ? incident.canary : "fails");
      world.timeline.after(incident.forMs, () => engine.setBroken(null));
      return;
    }
    default:
  }
}

/** Indices wrap around, so that any number names one of them. */
function at<T>(list: readonly T[], index: number): T | undefined {
  return list[index % Math.max(1, list.length)];
}
