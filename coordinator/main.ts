// The coordinator process: `node dist/coordinator/main.js --data DIR ...`.

import { usage } from "../common/config.js";
import { exitWith, runProcess } from "../common/lifecycle.js";
import { createLog } from "../common/log.js";
import { coordinatorConfig, coordinatorFlags } from "./config.js";
import { startCoordinator } from "./coordinator.js";
import { enginePlanner } from "./planner.js";

/** Streams, log and nats-server have bounds of their own, which add up to less. */
const stopMsMax = 10_000;

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes("--help")) {
    process.stdout.write(`tocafarm coordinator: leads a pool\n\n${usage(coordinatorFlags)}\n`);
    return;
  }
  const config = coordinatorConfig(argv, process.env);
  const log = createLog("coordinator", config.logLevel);
  await runProcess({
    log,
    start: (teardown) => startCoordinator({ config, log, teardown, planner: enginePlanner }),
    stopMsMax,
  });
}

main(process.argv.slice(2)).catch(exitWith);
