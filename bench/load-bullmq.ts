// A process of BullMQ workers, one job at a time each, for the benchmark of placement. The wait
// that is measured goes from the end of a job to the beginning of the next one, which BullMQ
// fetches in the same breath as it reports the end.
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "bullmq";
import { queueName } from "./bullmq-queue.js";
import type { FromLoad, ToLoad } from "./load-messages.js";

let waitsMs: number[] = [];
let holdMs = 0;

const workers: Worker[] = [];

/** Not begun before all are there. */
async function open({ address, count }: Extract<ToLoad, { type: "open" }>): Promise<void> {
  const [host = "", port] = address.split(":");
  const connection = { host, port: Number(port), maxRetriesPerRequest: null };
  for (let index = 0; index < count; index++) {
    let freeMs = 0;
    const process = async () => {
      if (freeMs > 0) waitsMs.push(performance.now() - freeMs);
      if (holdMs > 0) await sleep(holdMs * (0.5 + Math.random()));
      freeMs = performance.now();
    };
    const worker = new Worker(queueName, process, { connection, autorun: false, concurrency: 1 });
    await worker.waitUntilReady();
    workers.push(worker);
  }
  tell({ type: "opened" });
}

function tell(message: FromLoad): void {
  process.send?.(message);
}

let works = false;
process.on("disconnect", () => process.exit());
process.on("message", (raw) => {
  const message = raw as ToLoad; // our own program wrote it
  switch (message.type) {
    case "open":
      void open(message);
      break;
    case "work":
      holdMs = message.holdMs;
      if (!works) for (const worker of workers) void worker.run();
      works = true;
      break;
    case "reset":
      waitsMs = [];
      break;
    case "collect":
      tell({ type: "measured", waitsMs });
      break;
    case "rest":
      for (const worker of workers) void worker.pause(true);
  }
});
