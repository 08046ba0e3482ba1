// The services that every gRPC tool knows: health (for probes) and reflection (for grpcurl and the
// like), from the .proto files as they lie in the package.

import path from "node:path";
import type { Server } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { ReflectionService } from "@grpc/reflection";
import { HealthImplementation } from "grpc-health-check";
import { packageRoot } from "../../common/paths.js";

const services = ["tocafarm.v1.RenderFarm", "tocafarm.v1.WorkerLink"];

export interface HealthReport {
  /** From now on every service says NOT_SERVING. */
  stop(): void;
}

export function addStandardServices(server: Server): HealthReport {
  const folder = path.join(packageRoot(), "proto");
  const files = ["tocafarm/v1/farm.proto", "tocafarm/v1/worker.proto"];
  const definition = loadSync(files, { includeDirs: [folder] });
  new ReflectionService(definition, { services }).addToServer(server);
  const health = new HealthImplementation({ "": "SERVING" });
  for (const service of services) health.setStatus(service, "SERVING");
  health.addToServer(server);
  return {
    stop: () => {
      for (const service of ["", ...services]) health.setStatus(service, "NOT_SERVING");
    },
  };
}
