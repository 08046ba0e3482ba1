// An engine on the demo model for tests of what crosses the native line: one thread, fp32, and no
// cache of the user's.
import { Engine } from "../../engine/engine.js";
import { demoModel } from "./farm-processes.js";

/** To be closed by the caller. */
export function loadDemoEngine(): Promise<Engine> {
  return Engine.create({
    model: demoModel,
    device: "cpu",
    dtype: "fp32",
    threads: 1,
    cache: null,
  });
}
