// The worker process: `node dist/worker/main.js --coordinator HOST:PORT --model DIR --data DIR
// ...`.
import { usage } from "../common/config.js";
import { exitWith, runProcess } from "../common/lifecycle.js";
import { createLog } from "../common/log.js";
import { workerConfig, workerFlags } from "./config.js";
import { startWorker, stopMsMargin } from "./worker.js";

/** A worker that was forked stands for its parent; when that is gone, nobody waits for it. */
function orphaned(): boolean {
  return process.send !== undefined && !process.connected;
}

async function main(argv: readonly string[]): Promise<void> {
  if (argv.includes("--help")) {
    process.stdout.write(
      `tocafarm worker: renders clips for a coordinator\n\n${usage(workerFlags)}\n`,
    );
    return;
  }
  const config = workerConfig(argv, process.env);
  const log = createLog("worker", config.logLevel);
  const hurry = new AbortController();
  await runProcess({
    log,
    start: (teardown, signal) =>
      startWorker({ config, log, teardown, signal, hurry: hurry.signal, orphaned }),
    stopMsMax: config.graceMs + stopMsMargin,
    hurry: () => hurry.abort(),
  });
}

main(process.argv.slice(2)).catch(exitWith);
