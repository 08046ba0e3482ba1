import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { makeGenericClientConstructor, type ServiceDefinition } from "@grpc/grpc-js";
import { FarmError } from "./errors.js";
import {
  callUnary,
  createClient,
  duplexStream,
  type RpcServer,
  readStream,
  serverStream,
  startRpcServer,
  toFarmError,
  toStatus,
  unary,
} from "./rpc.js";

const text = {
  requestSerialize: (value: string) => Buffer.from(value),
  requestDeserialize: (bytes: Buffer) => bytes.toString(),
  responseSerialize: (value: string) => Buffer.from(value),
  responseDeserialize: (bytes: Buffer) => bytes.toString(),
};
const definition = {
  echo: { path: "/test.Test/Echo", requestStream: false, responseStream: false, ...text },
  count: { path: "/test.Test/Count", requestStream: false, responseStream: true, ...text },
  talk: { path: "/test.Test/Talk", requestStream: true, responseStream: true, ...text },
} satisfies ServiceDefinition;

const Client = makeGenericClientConstructor(definition, "test.Test");
let service: RpcServer;
let produced = 0;
let sawCancel = false;

before(async () => {
  service = await startRpcServer("127.0.0.1:0", (server) => {
    server.addService(definition, {
      echo: unary(async (request: string) => {
        if (request === "oom") throw new FarmError("OUT_OF_MEMORY", "needs 9 GB, has 8 GB");
        if (request === "slow") await new Promise((resolve) => setTimeout(resolve, 500));
        return request;
      }),
      count: serverStream<string, string>(async (request, send, { signal }) => {
        signal.addEventListener("abort", () => {
          sawCancel = true;
        });
        for (let i = 0; i < Number(request); i++) {
          await send("x".repeat(10_000));
          produced = i + 1;
        }
        throw new FarmError("NOT_FOUND", "no more");
      }),
      talk: duplexStream<string, string>(async (messages, call) => {
        for await (const message of messages) call.write(message.toUpperCase());
      }),
    });
  });
});
after(() => service.stop(100));

// The client of a hand-made definition has no types of its own.
// biome-ignore lint/suspicious/noExplicitAny: a test's client
const client = (): any => createClient(Client as any, service.address);

test("a call's answer, its error code and its deadline come back", async () => {
  const c = client();
  const echo = c.echo.bind(c);
  assert.equal(await callUnary(echo, "hello"), "hello");
  await assert.rejects(callUnary(echo, "oom"), {
    name: "FarmError",
    code: "OUT_OF_MEMORY",
    message: "needs 9 GB, has 8 GB",
  });
  await assert.rejects(callUnary(echo, "slow", { deadlineMs: 50 }), { code: "DEADLINE_EXCEEDED" });
  await assert.rejects(callUnary(echo, "slow", { signal: AbortSignal.timeout(30) }), {
    code: "CANCELLED",
  });
  c.close();
});

test("a stream ends with the error that its function threw", async () => {
  const c = client();
  let received = 0;
  const read = async () => {
    for await (const _ of readStream(c.count("3"))) received++;
  };
  await assert.rejects(read(), { code: "NOT_FOUND", message: "no more" });
  assert.equal(received, 3);
  c.close();
});

test("a reader that stops holds the writer back, and leaving cancels the call", async () => {
  const c = client();
  produced = 0;
  for await (const _ of readStream(c.count("100000"))) {
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.ok(produced < 10_000, `${produced} messages were produced for a reader that waits`);
    break;
  }
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(sawCancel);
  c.close();
});

test("both sides of a duplex stream talk until the caller ends it", async () => {
  const c = client();
  const call = c.talk();
  call.write("a");
  call.write("b");
  call.end();
  const heard: string[] = [];
  for await (const message of readStream<string>(call)) heard.push(message);
  assert.deepEqual(heard, ["A", "B"]);
  c.close();
});

test("a port in use is a one-line error", async () => {
  await assert.rejects(
    startRpcServer(service.address, () => {}),
    { code: "FAILED_PRECONDITION", message: /cannot listen on .*: the port is in use/ },
  );
});

test("a peer that is not there is UNAVAILABLE", async () => {
  // biome-ignore lint/suspicious/noExplicitAny: a test's client
  const c: any = createClient(Client as any, "127.0.0.1:1");
  await assert.rejects(callUnary(c.echo.bind(c), "x", { deadlineMs: 2000 }), {
    code: "UNAVAILABLE",
  });
  c.close();
});

test("every code survives the way through a status", () => {
  for (const code of ["IO", "INVALID_CHECKPOINT", "WORKER_LOST", "ENCODER_FAILED"] as const) {
    const answer = toStatus(new FarmError(code, "why"));
    const back = toFarmError(Object.assign(new Error("x"), answer));
    assert.equal(back.code, code);
    assert.equal(back.message, "why");
  }
});
