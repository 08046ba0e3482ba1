// The services that every gRPC tool knows: health (for probes) and reflection (for grpcurl and the
// like), from the .proto files as they lie in the package. What they are made of takes as long to
// load as all else that a coordinator needs before it serves, and most coordinators are never asked
// for it, so it is loaded by the first call.

import { createRequire } from "node:module";
import path from "node:path";
import type {
  MethodDefinition,
  Server,
  ServiceDefinition,
  UntypedHandleCall,
  UntypedServiceImplementation,
} from "@grpc/grpc-js";
import { assert } from "../../common/assert.js";
import { packageRoot } from "../../common/paths.js";

const services = ["tocafarm.v1.RenderFarm", "tocafarm.v1.WorkerLink"];

/** The methods of both, and what they stream. */
const methods = [
  { path: "/grpc.health.v1.Health/Check", requestStream: false, responseStream: false },
  { path: "/grpc.health.v1.Health/List", requestStream: false, responseStream: false },
  { path: "/grpc.health.v1.Health/Watch", requestStream: false, responseStream: true },
  ...["v1", "v1alpha"].map((version) => ({
    path: `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    requestStream: true,
    responseStream: true,
  })),
];

export interface StandardServices {
  addTo(server: Server): void;
  /** From now on every service says SERVING. */
  serving(): void;
  /** From now on every service says NOT_SERVING, as before the first `serving`. */
  stop(): void;
}

export function standardServices(): StandardServices {
  let status: Status = "NOT_SERVING";
  let loaded: Loaded | undefined;
  const method = (name: string): LoadedMethod => {
    loaded ??= load(status);
    const found = loaded.methods.get(name);
    assert(found !== undefined, `${name} is none of the loaded methods`);
    return found;
  };
  const say = (now: Status): void => {
    status = now;
    loaded?.say(now);
  };
  return {
    addTo: (server) => {
      for (const { path: name, ...streams } of methods) {
        const definition = { path: name, ...streams, ...lazyForms(() => method(name).definition) };
        const handle = (...call: unknown[]) => method(name).handle(...call);
        server.addService({ [name]: definition }, { [name]: handle as UntypedHandleCall });
      }
    },
    serving: () => say("SERVING"),
    stop: () => say("NOT_SERVING"),
  };
}

type Status = "SERVING" | "NOT_SERVING";
type Method = MethodDefinition<unknown, unknown>;

interface LoadedMethod {
  readonly definition: Method;
  readonly handle: (...call: readonly unknown[]) => void;
}

interface Loaded {
  /** By path. */
  readonly methods: ReadonlyMap<string, LoadedMethod>;
  say(status: Status): void;
}

type Forms = Pick<
  Method,
  "requestSerialize" | "requestDeserialize" | "responseSerialize" | "responseDeserialize"
>;

/** How messages become bytes, asked for when there is one. */
function lazyForms(definition: () => Method): Forms {
  return {
    requestSerialize: (value) => definition().requestSerialize(value),
    requestDeserialize: (bytes) => definition().requestDeserialize(bytes),
    responseSerialize: (value) => definition().responseSerialize(value),
    responseDeserialize: (bytes) => definition().responseDeserialize(bytes),
  };
}

/** Within the call, since the first message is waiting to be read. */
function load(status: Status): Loaded {
  const require = createRequire(import.meta.url);
  const { loadSync }: typeof import("@grpc/proto-loader") = require("@grpc/proto-loader");
  const { ReflectionService }: typeof import("@grpc/reflection") = require("@grpc/reflection");
  const { HealthImplementation }: typeof import("grpc-health-check") = require("grpc-health-check");
  const folder = path.join(packageRoot(), "proto");
  const files = ["tocafarm/v1/farm.proto", "tocafarm/v1/worker.proto"];
  const definition = loadSync(files, { includeDirs: [folder] });
  const health = new HealthImplementation();
  const found = new Map<string, LoadedMethod>();
  const collector = collectInto(found);
  new ReflectionService(definition, { services }).addToServer(collector);
  health.addToServer(collector);
  const say = (now: Status): void => {
    for (const service of ["", ...services]) health.setStatus(service, now);
  };
  say(status);
  return { methods: found, say };
}

/** Takes services as a server does, and keeps their methods by path. */
function collectInto(found: Map<string, LoadedMethod>): Pick<Server, "addService"> {
  return {
    addService: (service: ServiceDefinition, handlers: UntypedServiceImplementation) => {
      for (const [name, definition] of Object.entries(service)) {
        const handler = handlers[name] ?? handlers[definition.originalName ?? ""];
        const handle = handler as unknown as LoadedMethod["handle"] | undefined; // of its own shape
        if (handle) found.set(definition.path, { definition, handle });
      }
    },
  };
}
