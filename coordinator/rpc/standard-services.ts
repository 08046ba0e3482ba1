// The services that every gRPC tool knows: health (for probes) and reflection (for grpcurl and the
// like), from the .proto files as they lie in the package.

import path from "node:path";
import type { Server } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { packageRoot } from "../../common/paths.js";

const services = ["tocafarm.v1.RenderFarm", "tocafarm.v1.WorkerLink"];

export interface StandardServices {
  addTo(server: Server): void;
  /** From now on every service says SERVING. */
  serving(): void;
  /** From now on every service says NOT_SERVING, as before the first `serving`. */
  stop(): void;
}

export function standardServices(): StandardServices {
  const folder = path.join(packageRoot(), "proto");
  const files = ["tocafarm/v1/farm.proto", "tocafarm/v1/worker.proto"];
  const definition = loadSync(files, { includeDirs: [folder] });
  const reflection = new ReflectionService(definition, { services });
  const health = new HealthImplementation();
  const say = (status: "SERVING" | "NOT_SERVING"): void => {
    for (const service of ["", ...services]) health.setStatus(service, status);
  };
  say("NOT_SERVING");
  return {
    addTo: (server) => {
      reflection.addToServer(server);
      health.addToServer(server);
    },
    serving: () => say("SERVING"),
    stop: () => say("NOT_SERVING"),
  };
}
