// A coordinator's end of the worker link in a process of its own, which a test can stop in the
// middle of anything: it welcomes agents and tells its parent the address.
import { WorkerLinkServer } from "./worker-link-server.js";

const server = new WorkerLinkServer();
await server.start();
process.send?.(server.address);
process.on("disconnect", () => process.exit());
