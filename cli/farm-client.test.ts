import assert from "node:assert/strict";
import { test } from "node:test";
import { FarmError } from "../common/errors.js";
import { serverStream, startRpcServer } from "../common/rpc.js";
import {
  RenderFarmService,
  type WatchBatchRequest,
  WatchBatchResponse,
} from "../proto/gen/tocafarm/v1/farm.js";
import { FarmClient } from "./farm-client.js";

test("a watch that breaks between parts of an answer goes on behind the last one", async (t) => {
  const asked: bigint[] = [];
  const parts: readonly (readonly bigint[])[] = [[5n, 0n, 0n], [7n]];
  const { watchBatch } = RenderFarmService;
  const serving = await startRpcServer("127.0.0.1:0", (grpc) =>
    grpc.addService(
      { watchBatch },
      {
        watchBatch: serverStream<WatchBatchRequest, WatchBatchResponse>(async (request, send) => {
          asked.push(request.afterSequence);
          for (const sequence of parts[asked.length - 1] ?? []) {
            await send(WatchBatchResponse.fromPartial({ sequence }));
          }
          if (asked.length === 1) throw new FarmError("UNAVAILABLE", "the leader was killed");
        }),
      },
    ),
  );
  t.after(() => serving.stop(0));
  const client = new FarmClient(serving.address);
  t.after(() => client.close());
  const told: bigint[] = [];
  for await (const { sequence } of client.watch("b0123456789ab")) told.push(sequence);
  assert.deepEqual(told, [5n, 0n, 0n, 7n]);
  assert.deepEqual(asked, [0n, 5n]);
});
