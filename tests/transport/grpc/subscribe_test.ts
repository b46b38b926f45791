/** Subscribe over real sockets: order, filters, resuming, resets, stalled readers, shutdown. */
import "./environment.ts";
import { assert, assertEquals } from "@std/assert";
import { type ClientReadableStream, type ServiceError, status as Status } from "@grpc/grpc-js";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import type { Sender } from "../../../src/hub.ts";
import {
  hubMethods,
  openServer,
  type Refusal,
  refusalOf,
  socketTest,
  type TestClient,
  type TestServer,
} from "./client.ts";

const SENDER: Sender = { tenant: "default", source: "rest" };

function input(number: number, more: Record<string, unknown> = {}) {
  return { id: `e${number}`, user_id: `u${number % 3}`, event_type: "purchase", amount: number, ...more };
}

/** A subscription that tests take messages from one by one. */
class Live implements Disposable {
  readonly call: ClientReadableStream<v1.SubscribeResponse>;
  readonly #messages: AsyncIterator<v1.SubscribeResponse>;
  /** The error the call ended with. */
  readonly end: Promise<Refusal>;
  cursor = "";

  constructor(client: TestClient, request: v1.SubscribeRequest = {}) {
    this.call = client.serverStream(hubMethods.subscribe, request);
    this.end = new Promise((resolve) => this.call.on("error", (error) => resolve(refusalOf(error as ServiceError))));
    this.#messages = this.call[Symbol.asyncIterator]();
  }

  async next(): Promise<NonNullable<v1.SubscribeResponse["message"]>> {
    const { value } = await this.#messages.next();
    const { message } = value as v1.SubscribeResponse;
    if (message?.$case === "event") this.cursor = message.event.cursor;
    if (message?.$case === "progress") this.cursor = message.progress.cursor;
    if (message?.$case === "reset") this.cursor = message.reset.cursor;
    return message!;
  }

  /** The ids of the next events, which must come without anything else between them. */
  async ids(count: number): Promise<string[]> {
    const ids: string[] = [];
    while (ids.length < count) {
      const message = await this.next();
      assert(message.$case === "event", `an event, not ${message.$case}`);
      ids.push(message.event.event!.id);
    }
    return ids;
  }

  /** The ids of all events up to the end of the call. */
  async rest(): Promise<string[]> {
    const ids: string[] = [];
    try {
      for (;;) ids.push(...await this.ids(1));
    } catch (error) {
      refusalOf(error as ServiceError);
      return ids;
    }
  }

  [Symbol.dispose](): void {
    this.call.cancel();
  }
}

/** Resolves when the hub has as many subscribers. */
async function whenSubscribers({ hub }: TestServer, count: number): Promise<void> {
  while (hub.load.subscribers !== count) await new Promise((resolve) => setImmediate(resolve));
}

socketTest("a subscription begins with its cursor and gives every new event in order", async () => {
  await using server = await openServer();
  await server.hub.publish(input(0), SENDER);
  using live = new Live(server.client);
  assertEquals((await live.next()).$case, "progress");
  for (let number = 1; number <= 3; number++) {
    await server.hub.publish(input(number, { properties: { n: number } }), SENDER);
  }
  const first = await live.next();
  assert(first.$case === "event");
  const { event, cursor } = first.event;
  assertEquals([event?.id, event?.amount, event?.source, event?.properties], ["e1", "1", "rest", { n: 1 }]);
  assert(cursor !== "");
  assertEquals(await live.ids(2), ["e2", "e3"]);
});

socketTest("a subscription starts after a cursor, at the earliest event, or at a time of receipt", async () => {
  await using server = await openServer();
  await server.hub.publish(input(0), SENDER);
  server.clock.advance(60_000);
  const time = new Date(server.clock.now()).toISOString();
  await server.hub.publishBatch([input(1), input(2), input(3)], SENDER);
  let cursor = "";
  {
    using live = new Live(server.client, { after: "earliest" });
    await live.next();
    assertEquals(await live.ids(2), ["e0", "e1"]);
    cursor = live.cursor;
  }
  using resumed = new Live(server.client, { after: cursor });
  await resumed.next();
  assertEquals(await resumed.ids(2), ["e2", "e3"]);
  using received = new Live(server.client, { after: time });
  await received.next();
  assertEquals(await received.ids(3), ["e1", "e2", "e3"]);
  const bad: [after: string, reason: string][] = [
    ["nonsense", "invalid_cursor"],
    ["", "invalid_argument"],
    ["x".repeat(600), "invalid_cursor"],
    ["2025-13-01T00:00:00Z", "invalid_argument"],
  ];
  for (const [after, reason] of bad) {
    using refused = new Live(server.client, { after });
    const { code, reason: found, fields } = await refused.end;
    assertEquals([code, found, Object.keys(fields)], [Status.INVALID_ARGUMENT, reason, ["after"]]);
  }
});

socketTest("a filter by user and types gives those events alone", async () => {
  await using server = await openServer();
  using live = new Live(server.client, { filter: { userId: "u1", eventTypes: ["refund", "return"] } });
  await live.next();
  await server.hub.publishBatch([
    input(1),
    input(4, { event_type: "refund" }),
    input(5, { event_type: "refund" }),
    input(7, { event_type: "return" }),
  ], SENDER);
  assertEquals(await live.ids(2), ["e4", "e7"]);
});

socketTest("a cursor of another database begins with a reset, and everything follows", async () => {
  await using other = await openServer();
  const foreign = await other.hub.streamHead("default");
  await using server = await openServer();
  await server.hub.publishBatch([input(1), input(2)], SENDER);
  using live = new Live(server.client, { after: foreign });
  const reset = await live.next();
  assert(reset.$case === "reset");
  assertEquals([reset.reset.reason, reset.reset.mode], [
    v1.ResetReason.RESET_REASON_EPOCH,
    v1.ResetMode.RESET_MODE_SKIP,
  ]);
  assertEquals(await live.ids(2), ["e1", "e2"]);
});

socketTest("a silent stream tells its cursor every 15 s", async () => {
  await using server = await openServer();
  using live = new Live(server.client);
  await live.next();
  server.clock.advance(15_001);
  await server.hub.tick();
  assertEquals((await live.next()).$case, "progress");
});

socketTest("cancelling releases the subscription at once, also a waiting one and one behind a deadline", async () => {
  await using server = await openServer();
  const live = new Live(server.client);
  await live.next();
  assertEquals(server.hub.load.subscribers, 1);
  live.call.cancel();
  assertEquals((await live.end).code, Status.CANCELLED);
  await whenSubscribers(server, 0);
  const late = server.client.serverStream(hubMethods.subscribe, {}, { deadline: Date.now() + 100 });
  const error = await new Promise<ServiceError>((resolve) =>
    late.on("error", (error) => resolve(error as ServiceError)).resume()
  );
  assertEquals(error.code, Status.DEADLINE_EXCEEDED);
  await whenSubscribers(server, 0);
});

socketTest("a client that vanishes releases its subscriptions", async () => {
  await using server = await openServer();
  const client = server.connect();
  const live = [new Live(client), new Live(client)];
  for (const each of live) await each.next();
  assertEquals(server.hub.load.subscribers, 2);
  client[Symbol.dispose]();
  for (const each of live) each.call.cancel();
  await whenSubscribers(server, 0);
});

socketTest("4,000 events reach 5 subscribers, each exactly once and in order", async () => {
  await using server = await openServer();
  const lives = Array.from({ length: 5 }, () => new Live(server.client));
  for (const live of lives) await live.next();
  const expected = Array.from({ length: 4_000 }, (_, i) => `e${i}`);
  const sent = (async () => {
    for (let from = 0; from < 4_000; from += 500) {
      await server.hub.publishBatch(Array.from({ length: 500 }, (_, i) => input(from + i)), SENDER);
    }
  })();
  for (const ids of await Promise.all(lives.map((live) => live.ids(4_000)))) assertEquals(ids, expected);
  await sent;
  for (const live of lives) live.call.cancel();
});

/** Sends events to a reader that takes none of them, until the feed is more than every buffer on the way behind. */
async function stall(server: TestServer, count: number): Promise<void> {
  const properties = { text: "x".repeat(8_000) };
  for (let from = 0; from < count; from += 100) {
    await server.hub.publishBatch(Array.from({ length: 100 }, (_, i) => input(from + i, { properties })), SENDER);
    await server.hub.whenSettled();
  }
}

socketTest("a reader that stalls is ended after 30 s, and goes on without a gap", async () => {
  await using server = await openServer();
  const stalled = new Live(server.client);
  await stalled.next();
  using healthy = new Live(server.connect());
  await healthy.next();
  await Promise.all([stall(server, 2_000), healthy.ids(2_000)]);
  server.clock.advance(31_000);
  await server.hub.tick();
  await whenSubscribers(server, 1);
  const read = await stalled.rest();
  const { code, reason, info } = await stalled.end;
  assertEquals([code, reason], [Status.RESOURCE_EXHAUSTED, "slow_consumer"]);
  assert(info.cursor !== undefined, "the end carries a cursor");
  assert(read.length < 1_000, `${read.length} events were held for a reader that does not read`);
  // Its own last cursor, not that of the end: grpc-js drops what it has buffered when a call ends with an error.
  using resumed = new Live(server.client, { after: stalled.cursor });
  await resumed.next();
  const all = [...read, ...await resumed.ids(2_000 - read.length)];
  assertEquals(all, Array.from({ length: 2_000 }, (_, i) => `e${i}`));
});

socketTest("a reader that does not even read its end is cut off", async () => {
  await using server = await openServer({ timing: { endGraceMs: 100 } });
  const stalled = new Live(server.client);
  await stalled.next();
  using healthy = new Live(server.connect());
  await healthy.next();
  await Promise.all([stall(server, 2_000), healthy.ids(2_000)]);
  server.clock.advance(31_000);
  await server.hub.tick();
  await whenSubscribers(server, 1);
  const { code, info } = await stalled.end;
  assertEquals([code, info.cursor], [Status.RESOURCE_EXHAUSTED, undefined]);
});

socketTest("shutdown ends every stream with UNAVAILABLE and its cursor, within the time", async () => {
  const server = await openServer();
  const { hub } = server;
  const live = new Live(server.client);
  await live.next();
  await hub.publishBatch([input(1), input(2)], SENDER);
  assertEquals(await live.ids(2), ["e1", "e2"]);
  await server.shutDown();
  const { code, reason, info, retrySeconds } = await live.end;
  assertEquals([code, reason, retrySeconds], [Status.UNAVAILABLE, "unavailable", 1]);
  assertEquals(info.cursor, live.cursor);
  await whenSubscribers(server, 0);
  await server[Symbol.asyncDispose]();
});

socketTest("when the hub ends the subscriptions first, the end carries the cursor of the last event", async () => {
  await using server = await openServer();
  const live = new Live(server.client);
  await live.next();
  await server.hub.publish(input(1), SENDER);
  await live.ids(1);
  server.hub.endSubscriptions();
  const { code, info } = await live.end;
  assertEquals([code, info.cursor], [Status.UNAVAILABLE, live.cursor]);
  using late = new Live(server.client);
  assertEquals((await late.end).code, Status.UNAVAILABLE);
});
