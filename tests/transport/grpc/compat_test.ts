/** event.EventService: the prototype's contract (compat/README.md), and what was wrong there. */
import "./environment.ts";
import { assertEquals, assertMatch } from "@std/assert";
import { type ClientReadableStream, type ServiceError, status as Status } from "@grpc/grpc-js";
import { HubError } from "../../../src/errors.ts";
import * as compat from "../../../src/gen/event.ts";
import type { Sender } from "../../../src/hub.ts";
import { START } from "../../harness.ts";
import { compatMethods, hubMethods, openServer, refusalOf, replaced, socketTest, type TestClient } from "./client.ts";

const REQUEST: compat.EventRequest = { userId: "u1", eventType: "purchase", amount: 99.99, timestamp: "" };
const SENDER: Sender = { tenant: "default", source: "rest" };

function input(number: number, more: Record<string, unknown> = {}) {
  return { id: `e${number}`, user_id: "u", event_type: "purchase", amount: number, ...more };
}

/** A stream of events, taken one by one. */
class Stream implements Disposable {
  readonly call: ClientReadableStream<compat.EventResponse>;
  readonly #messages: AsyncIterator<compat.EventResponse>;
  readonly end: Promise<ReturnType<typeof refusalOf>>;
  /** The headers came: the call was taken. */
  readonly open: Promise<unknown>;

  constructor(client: TestClient, limit: number) {
    this.call = client.serverStream(compatMethods.streamEvents, { limit });
    this.end = new Promise((resolve) => this.call.on("error", (error) => resolve(refusalOf(error as ServiceError))));
    this.open = new Promise((resolve) => this.call.on("metadata", resolve));
    this.#messages = this.call[Symbol.asyncIterator]();
  }

  async take(count: number): Promise<compat.EventResponse[]> {
    const taken: compat.EventResponse[] = [];
    while (taken.length < count) taken.push((await this.#messages.next()).value);
    return taken;
  }

  async ids(count: number): Promise<string[]> {
    return (await this.take(count)).map(({ eventId }) => eventId);
  }

  [Symbol.dispose](): void {
    this.call.cancel();
  }
}

socketTest("SendEvent stores the event: id set, status success, a sentence", async () => {
  await using server = await openServer();
  const { eventId, status, message } = await server.client.unary(compatMethods.sendEvent, REQUEST);
  assertEquals(status, "success");
  assertMatch(message, /^[A-Z].*\.$/);
  const event = await server.hub.get("default", eventId);
  assertEquals([event.amount, event.timestamp, event.timestampGiven, event.source], [999_900, START, false, "grpc"]);
});

socketTest(
  "SendEvent takes the timestamps of the prototype's clients; without a zone in the configured one",
  async () => {
    await using server = await openServer({ naiveZone: "Europe/Berlin" });
    const times: [string, string][] = [
      ["2025-07-15T12:34:56.123456", "2025-07-15T10:34:56.123Z"],
      ["2024-01-15T10:30:00Z", "2024-01-15T10:30:00.000Z"],
      ["2024-01-15T10:30:00.5+02:00", "2024-01-15T08:30:00.500Z"],
    ];
    for (const [timestamp, expected] of times) {
      const { eventId } = await server.client.unary(compatMethods.sendEvent, { ...REQUEST, timestamp });
      const event = await server.hub.get("default", eventId);
      assertEquals(new Date(event.timestamp).toISOString(), expected);
    }
  },
);

socketTest("defect 4: a malformed timestamp is an error, never now", async () => {
  await using server = await openServer();
  for (const timestamp of ["yesterday", "2024-13-01T00:00:00Z", "2024-01-15", "1705314600", " "]) {
    const refusal = await server.client.refused(compatMethods.sendEvent, { ...REQUEST, timestamp });
    assertEquals([refusal.code, refusal.fields], [Status.INVALID_ARGUMENT, { timestamp: "invalid_timestamp" }]);
    assertMatch(refusal.details, /^timestamp must be/);
  }
});

socketTest("defect 7: a failure is a gRPC status, never OK with an error in the body", async () => {
  await using server = await openServer({
    wrapHub: (hub) =>
      replaced(hub, { publish: () => Promise.reject(new HubError("unavailable", "The store is down")) }),
  });
  const refusal = await server.client.refused(compatMethods.sendEvent, REQUEST);
  assertEquals([refusal.code, refusal.reason, refusal.retrySeconds], [Status.UNAVAILABLE, "unavailable", 1]);
  const empty = await openServer();
  const missing = await empty.client.refused(compatMethods.sendEvent, {
    userId: "",
    eventType: "",
    amount: 0,
    timestamp: "",
  });
  assertEquals(missing.fields, { user_id: "too_short", event_type: "too_short" });
  await empty[Symbol.asyncDispose]();
});

socketTest("defect 9: NaN, Infinity, 1e308 and drifted amounts do not get in", async () => {
  await using server = await openServer();
  for (const amount of [NaN, Infinity, -Infinity, 1e308, 1e9 + 0.5, 0.1 + 0.2]) {
    const { code, fields } = await server.client.refused(compatMethods.sendEvent, { ...REQUEST, amount });
    assertEquals([code, Object.keys(fields)], [Status.INVALID_ARGUMENT, ["amount"]], `${amount}`);
  }
  for (const amount of [-0, 0.1, -12.3456, 1e9]) {
    await server.client.unary(compatMethods.sendEvent, { ...REQUEST, amount });
  }
});

socketTest("defect 1: events sent over any protocol reach the live stream", async () => {
  await using server = await openServer();
  using stream = new Stream(server.client, 0);
  await stream.open;
  await server.hub.publish(input(1, { amount: 12.5 }), SENDER);
  const { id } = await server.client.unary(hubMethods.publish, {
    event: { userId: "u", eventType: "refund", amount: "3" },
  });
  const [first, second] = await stream.take(2);
  assertEquals(first, { eventId: "e1", status: "stream", message: "Event: purchase - 12.5" });
  assertEquals(second, { eventId: id, status: "stream", message: "Event: refund - 3" });
});

socketTest("StreamEvents gives the newest stored events, oldest first, then new ones", async () => {
  await using server = await openServer();
  // By timestamp, not by arrival.
  await server.hub.publishBatch([3, 1, 2].map((n) => input(n, { timestamp: `2024-01-0${n}T00:00:00Z` })), SENDER);
  using two = new Stream(server.client, 2);
  assertEquals(await two.ids(2), ["e2", "e3"]);
  using all = new Stream(server.client, 10);
  assertEquals(await all.ids(3), ["e1", "e2", "e3"]);
  await server.hub.publish(input(4), SENDER);
  assertEquals([await two.ids(1), await all.ids(1)], [["e4"], ["e4"]]);
});

socketTest("the limit is 0 to 10,000; all of 10,000 come, in order", async () => {
  await using server = await openServer();
  for (const limit of [-1, 10_001, 2 ** 31 - 1, -(2 ** 31)]) {
    using stream = new Stream(server.client, limit);
    const { code, fields } = await stream.end;
    assertEquals([code, fields], [Status.INVALID_ARGUMENT, { limit: "out_of_range" }]);
  }
  const ids = Array.from({ length: 10_100 }, (_, i) => `e${i}`);
  for (let from = 0; from < ids.length; from += 1_010) {
    await server.hub.publishBatch(
      Array.from({ length: 1_010 }, (_, i) => {
        return input(from + i, { timestamp: new Date(START - 20_000 + from + i).toISOString() });
      }),
      SENDER,
    );
  }
  using stream = new Stream(server.client, 10_000);
  assertEquals(await stream.ids(10_000), ids.slice(100));
});

socketTest("events stored while the list is read come once: none missed, none twice", async () => {
  // Two events are stored between the taking of the live position and the reading of each page.
  let next = 100;
  await using server = await openServer({
    wrapHub: (hub) =>
      replaced(hub, {
        list: async (filter, page) => {
          await hub.publish(input(next++), SENDER);
          const listed = await hub.list(filter, page);
          await hub.publish(input(next++), SENDER);
          return listed;
        },
      }),
  });
  await server.hub.publishBatch(Array.from({ length: 5 }, (_, i) => input(i)), SENDER);
  using stream = new Stream(server.client, 50);
  const stored = await stream.ids(6);
  assertEquals(stored.sort(), ["e0", "e1", "e100", "e2", "e3", "e4"]);
  await server.hub.publish(input(200), SENDER);
  assertEquals(await stream.ids(2), ["e101", "e200"]);
});

socketTest(
  "the stream ends with a status when the hub shuts down, and when a gap could not be told otherwise",
  async () => {
    await using server = await openServer();
    const stream = new Stream(server.client, 0);
    await stream.open;
    server.hub.endSubscriptions();
    assertEquals((await stream.end).code, Status.UNAVAILABLE);
    await using other = await openServer({
      wrapHub: (hub) =>
        replaced(hub, { subscribe: (options) => hub.subscribe({ ...options, start: { cursor: foreign } }) }),
    });
    const foreign = await server.hub.streamHead("default");
    const lost = new Stream(other.client, 0);
    const { code, reason } = await lost.end;
    assertEquals([code, reason], [Status.ABORTED, "cursor_reset"]);
  },
);
