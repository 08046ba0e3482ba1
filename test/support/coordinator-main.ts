// A real coordinator process whose plans come from arithmetic instead of the addon, so that tests
// of the farm need no native build. All else is what dist/coordinator/main.js runs.

import { FarmError } from "../../common/errors.js";
import { exitWith, runProcess } from "../../common/lifecycle.js";
import { createLog } from "../../common/log.js";
import { coordinatorConfig } from "../../coordinator/config.js";
import { startCoordinator } from "../../coordinator/coordinator.js";
import type { Planner } from "../../coordinator/ports.js";

const planner: Planner = {
  plan: (model, { steps, frames, height, width, policy }, _dtype, calibration) => {
    if (steps < 1) {
      throw new FarmError("INVALID_ARGUMENT", `steps is ${steps}, at least 1 is needed`);
    }
    const flopsNone = frames * height * width * steps;
    const figures = {
      flops: flopsNone / 4,
      flopsNone,
      cacheBytes: 1024,
      peakBytes: frames * height * width * 12,
      digest: "0".repeat(64),
      warnings: calibration ? [`${model.name}: ${JSON.stringify(calibration)}`] : [],
      refreshPoints: Array.from({ length: steps - 1 }, (_, step) => step + 1),
    };
    return { policy, figures };
  },
  checkPrompts: () => {},
};

async function main(): Promise<void> {
  const config = coordinatorConfig(process.argv.slice(2), process.env);
  const log = createLog("coordinator", config.logLevel);
  const start = (teardown: Parameters<Parameters<typeof runProcess>[0]["start"]>[0]) =>
    startCoordinator({ config, log, teardown, planner });
  await runProcess({ log, start, stopMsMax: 10_000 });
}

main().catch(exitWith);
