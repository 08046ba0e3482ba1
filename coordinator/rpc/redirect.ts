// WorkerLink of a replica: agents of the leader are served, those that dial a standby are told
// where the leader is. When a reign ends, its agents' streams end with it, and they dial again.

import type { ServerDuplexStream } from "@grpc/grpc-js";
import type {
  ConnectRequest,
  ConnectResponse,
  WorkerLinkServer,
} from "../../proto/gen/tocafarm/v1/worker.js";
import type { Life, ReplicaPort } from "../ports.js";
import { perLife } from "./per-life.js";

type Call = ServerDuplexStream<ConnectRequest, ConnectResponse>;

/** `serviceOf` makes the service of one life; it is asked once for each. */
export function redirectingLink(
  replica: ReplicaPort,
  serviceOf: (life: Life) => WorkerLinkServer,
): WorkerLinkServer {
  const service = perLife(serviceOf);
  return {
    connect: (call) => {
      const { life } = replica;
      if (life?.leads) service(life).connect(call);
      else redirect(call, replica.leader?.grpc ?? "");
    },
  };
}

function redirect(call: Call, leader: string): void {
  call.on("error", () => {}); // the agent may be gone already
  call.resume(); // its Hello is not for us
  call.write({ message: { $case: "redirect", value: { leader } } });
  call.end();
}
