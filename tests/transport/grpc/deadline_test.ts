/** Deadlines that pass while the hub works: grpc-js answers them by itself, and must say what a retry needs to know. */
import "./environment.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { status as Status } from "@grpc/grpc-js";
import type { Buffer } from "node:buffer";
import * as compat from "../../../src/gen/event.ts";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import type { Event } from "../../../src/event.ts";
import type { AppendStatus } from "../../../src/storage.ts";
import { openServer, type Refusal, replaced, socketTest, type TestServer } from "./client.ts";
import { framed, rawCall, statusIn } from "./raw_call.ts";

const EVENT: v1.EventInput = { userId: "u1", eventType: "purchase", amount: "1" };
const V1 = "/eventhub.v1.EventHubService/";

/** A server whose store keeps everybody waiting, and the ids of the events it was given. */
async function openSlow(): Promise<TestServer & { readonly given: string[] }> {
  const given: string[] = [];
  const closing = Promise.withResolvers<void>();
  const server = await openServer({
    wrapStore: (store) =>
      replaced(store, {
        append: async (events: readonly Event[]) => {
          given.push(...events.map(({ id }) => id));
          await closing.promise;
          return events.map((): AppendStatus => "unavailable");
        },
      }),
  });
  const dispose = async (): Promise<void> => {
    closing.resolve();
    await server[Symbol.asyncDispose]();
  };
  return { ...server, given, [Symbol.asyncDispose]: dispose };
}

/** Calls with a deadline that the server keeps, not the client. */
async function lateCall(port: number, path: string, message: Uint8Array): Promise<Refusal> {
  const body: Buffer = framed(message);
  const refusal = statusIn(await rawCall(port, { path, body, headers: { "grpc-timeout": "300m" } }));
  assertEquals([refusal.code, refusal.reason], [Status.DEADLINE_EXCEEDED, "deadline_exceeded"]);
  return refusal;
}

socketTest("a deadline that passes carries the id the hub gave to the event", async () => {
  await using server = await openSlow();
  const published = await lateCall(server.port, `${V1}Publish`, v1.PublishRequest.encode({ event: EVENT }).finish());
  assertMatch(published.info.id ?? "", /^[0-9a-f-]{36}$/);
  const sent = { userId: "u1", eventType: "purchase", amount: 1, timestamp: "" };
  const compatible = compat.EventRequest.encode(sent).finish();
  // A hub of its own: on the other one its event would wait for the commit that hangs.
  await using another = await openSlow();
  const answered = await lateCall(another.port, "/event.EventService/SendEvent", compatible);
  assertEquals([published, answered].map(({ retrySeconds }) => retrySeconds), [1, 1]);
  assertEquals([...server.given, ...another.given], [published.info.id!, answered.info.id!]);
});

socketTest(
  "a deadline that passes says nothing of an id the client knows, and no retry where nobody knows one",
  async () => {
    await using server = await openSlow();
    const own = v1.PublishRequest.encode({ event: { ...EVENT, id: "mine" } }).finish();
    const published = await lateCall(server.port, `${V1}Publish`, own);
    assertEquals([published.info.id, published.retrySeconds], [undefined, 1]);
    const batch = (events: v1.EventInput[]) => v1.PublishBatchRequest.encode({ events, omitStored: false }).finish();
    const known = await lateCall(
      server.port,
      `${V1}PublishBatch`,
      batch([{ ...EVENT, id: "a" }, { ...EVENT, id: "b" }]),
    );
    assertEquals(known.retrySeconds, 1);
    const unknown = await lateCall(server.port, `${V1}PublishBatch`, batch([{ ...EVENT, id: "c" }, EVENT]));
    assertEquals(unknown.retrySeconds, null);
    const message = v1.PublishStreamRequest.encode({ number: 1n, event: EVENT }).finish();
    assertEquals((await lateCall(server.port, `${V1}PublishStream`, message)).retrySeconds, null);
    assert(server.given.includes("mine"));
  },
);
