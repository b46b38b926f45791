/** Subscriptions over server-sent events: in order, resumed without a gap, ended with a cursor, and let go. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { LiveSubscription } from "../../../src/feed.ts";
import type { HubApi } from "../../../src/hub.ts";
import { STREAM_KEEP_ALIVE_MS, SUBSCRIBER_STALL_MS } from "../../../src/limits.ts";
import { eventOf, graphqlTest, open, serve, stall, until } from "./harness.ts";

const SENDER = { tenant: "default", source: "rest" } as const;
const STREAM = `subscription ($after: String, $filter: EventFilter) {
  eventStream(after: $after, filter: $filter) { id cursor } }`;

/** The ids of results. */
function idsOf(results: readonly { data: { eventStream: { id: string } } }[]): string[] {
  return results.map(({ data }) => data.eventStream.id);
}

graphqlTest("the prototype's subscription gets every event that comes, from now on", async () => {
  await using hub = await open();
  await hub.publish("before");
  const stream = await hub.follow("subscription { eventStream { id userId eventType amount timestamp } }");
  assertEquals(stream.response.headers.get("content-type"), "text/event-stream");
  assertEquals(await stream.block(), { type: "comment", data: "" });
  // The first step of a subscription says where it stands; behind it nothing is missed.
  assertEquals(await stream.block(), { type: "comment", data: "" });
  await hub.publish("a", "b");
  assertEquals(
    await stream.results(2),
    ["a", "b"].map((id) => ({
      data: {
        eventStream: { id, userId: "ann", eventType: "purchase", amount: 12.5, timestamp: "2025-07-15T12:34:56.789Z" },
      },
      errors: [],
    })),
  );
  await stream.cancel();
});

graphqlTest("a subscription goes on behind a cursor, each event once and in order", async () => {
  await using hub = await open();
  const ids = Array.from({ length: 60 }, (_, i) => `e${i}`);
  const seen: string[] = [];
  let after = "earliest";
  for (let from = 0; from < ids.length; from += 5) {
    await hub.publish(...ids.slice(from, from + 5));
    const stream = await hub.follow(STREAM, { variables: { after } });
    // Sometimes fewer than there are, so that the next subscription begins in the middle of a batch.
    for (const { data } of await stream.results(from % 2 === 0 ? 3 : 5)) {
      seen.push(data.eventStream.id);
      after = data.eventStream.cursor;
    }
    await stream.cancel();
  }
  const stream = await hub.follow(STREAM, { variables: { after } });
  seen.push(...idsOf(await stream.results(ids.length - seen.length)));
  await stream.cancel();
  assertEquals(seen, ids);
  assertEquals(hub.hub.load.subscribers, 0);
});

graphqlTest(
  "it starts at a word, at a time of receipt, or behind the head that was asked for before listing",
  async () => {
    await using hub = await open();
    await hub.publish("a");
    hub.clock.advance(60_000);
    const time = new Date(hub.clock.now()).toISOString();
    const head = (await hub.ask("{ streamHead }")).data.streamHead;
    await hub.publish("b");
    const starts: [string, string[]][] = [["earliest", ["a", "b"]], [time, ["b"]], [head, ["b"]], ["latest", []]];
    for (const [after, expected] of starts) {
      const stream = await hub.follow(STREAM, { variables: { after } });
      assertEquals(idsOf(await stream.results(expected.length)), expected, after);
      await stream.cancel();
    }
  },
);

graphqlTest("a filter restricts by user, types and time of the event", async () => {
  await using hub = await open();
  const at = (hour: number): string => new Date(Date.UTC(2025, 6, 15, hour)).toISOString();
  const filters: [Record<string, unknown>, string[]][] = [
    [{ userId: "bob" }, ["b"]],
    [{ eventTypes: ["refund", "return"] }, ["c", "d"]],
    [{ from: at(10), to: at(11) }, ["b"]],
    [{ userId: "ann", from: at(11) }, ["c", "d"]],
  ];
  const streams = [];
  for (const [filter] of filters) streams.push(await hub.follow(STREAM, { variables: { filter, after: "latest" } }));
  await hub.hub.publish(eventOf("a", { timestamp: at(9) }), SENDER);
  await hub.hub.publish(eventOf("b", { timestamp: at(10), user_id: "bob" }), SENDER);
  await hub.hub.publish(eventOf("c", { timestamp: at(11), event_type: "refund" }), SENDER);
  await hub.hub.publish(eventOf("d", { timestamp: at(12), event_type: "return" }), SENDER);
  for (const [i, [filter, expected]] of filters.entries()) {
    assertEquals(idsOf(await streams[i]!.results(expected.length)), expected, JSON.stringify(filter));
    await streams[i]!.cancel();
  }
});

graphqlTest("what a subscription cannot start with is a single error", async () => {
  await using hub = await open();
  const page = (await hub.ask("{ events { pageInfo { endCursor } } }"), "p.nonsense");
  const bad: Record<string, unknown>[] = [
    { after: page },
    { after: "" },
    { after: "x".repeat(600) },
    { after: "2025-13-01T00:00:00Z" },
    { filter: { eventTypes: ["no type"] } },
    { filter: { from: "soon" } },
    { filter: 5 },
  ];
  for (const variables of bad) {
    const stream = await hub.follow(STREAM, { variables });
    const { errors } = await stream.result();
    assertEquals(errors[0]?.extensions.code, "BAD_USER_INPUT", JSON.stringify(variables));
    assertEquals(await stream.event(), { type: "complete", data: "" });
    assertEquals(await stream.event(), null);
  }
  assertEquals(hub.hub.load.subscribers, 0);
});

graphqlTest("a lost position ends the subscription with CURSOR_RESET, and its cursor goes on", async () => {
  await using other = await open();
  await other.publish("elsewhere");
  const foreign = (await other.ask("{ streamHead }")).data.streamHead;
  await using hub = await open();
  await hub.publish("a");
  const stream = await hub.follow(STREAM, { variables: { after: foreign } });
  const { data, errors } = await stream.result();
  assertEquals([data, errors.length], [undefined, 1]);
  const { code, reason, mode, cursor } = errors[0]!.extensions;
  assertEquals([code, reason], ["CURSOR_RESET", "epoch"]);
  assert(mode === "replay" || mode === "skip");
  assertEquals(await stream.event(), { type: "complete", data: "" });
  assertEquals(hub.hub.load.subscribers, 0);
  const again = await hub.follow(STREAM, { variables: { after: cursor } });
  assertEquals(idsOf(await again.results(1)), ["a"]);
  await again.cancel();
});

graphqlTest("at shutdown each subscription ends with its cursor", async () => {
  await using hub = await open();
  const streams = [await hub.follow(STREAM), await hub.follow(STREAM, { variables: { filter: { userId: "ann" } } })];
  await hub.publish("a");
  for (const stream of streams) assertEquals(idsOf(await stream.results(1)), ["a"]);
  // One of them waits for more while the hub ends, the other does not read.
  const waiting = streams[0]!.result();
  hub.hub.endSubscriptions();
  for (const { errors } of [await waiting, await streams[1]!.result()]) {
    assertEquals(errors[0]?.extensions.code, "UNAVAILABLE");
    assert(typeof errors[0]?.extensions.cursor === "string");
  }
  for (const stream of streams) assertEquals(await stream.event(), { type: "complete", data: "" });
  assertEquals((await (await hub.follow(STREAM)).result()).errors[0]?.extensions.code, "UNAVAILABLE");
});

graphqlTest("disposing the interface ends its subscriptions with their cursors", async () => {
  await using hub = await open();
  const stream = await hub.follow(STREAM);
  await hub.publish("a");
  const [first] = await stream.results(1);
  const last = stream.result();
  await hub.graphql[Symbol.asyncDispose]();
  const { errors } = await last;
  assertEquals([errors[0]?.extensions.code, errors[0]?.extensions.cursor], [
    "UNAVAILABLE",
    first!.data.eventStream.cursor,
  ]);
});

graphqlTest("a client that goes away is let go at once, also while nothing comes", async () => {
  await using hub = await open();
  const stream = await hub.follow(STREAM);
  await stream.block();
  await stream.block();
  const waiting = stream.block();
  assertEquals(hub.hub.load.subscribers, 1);
  await stream.cancel();
  assertEquals(await waiting, null);
  assertEquals(hub.hub.load.subscribers, 0);
});

graphqlTest("a quiet subscription gives a sign of life", async () => {
  await using hub = await open();
  const stream = await hub.follow(STREAM);
  await stream.block();
  await stream.block();
  let arrived = false;
  const sign = stream.block().finally(() => arrived = true);
  // The stream takes a few turns to ask the hub for more.
  while (!arrived) {
    hub.clock.advance(STREAM_KEEP_ALIVE_MS);
    await hub.hub.tick();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assertEquals(await sign, { type: "comment", data: "" });
  await stream.cancel();
});

graphqlTest(
  "a client that does not read is released, never written to again, and resumes behind its last event",
  async () => {
    await using hub = await open();
    const stream = await hub.follow(STREAM);
    await hub.publish("first");
    const [first] = await stream.results(1);
    // What the stream took before it noticed does not wait in the hub, but the rest does.
    for (const id of ["a", "b", "c", "d"]) await hub.publish(id);
    hub.clock.advance(SUBSCRIBER_STALL_MS);
    await hub.hub.tick();
    assertEquals(hub.hub.load.subscribers, 0);
    // The reader may find what was on its way, and then that the stream broke off.
    const seen = [first!];
    const reading = (async () => {
      while (true) seen.push(await stream.result());
    })();
    await assertRejects(() => reading, Error, "got the end");
    const after = seen.at(-1)!.data.eventStream.cursor;
    const again = await hub.follow(STREAM, { variables: { after } });
    seen.push(...await again.results(5 - seen.length));
    assertEquals(idsOf(seen), ["first", "a", "b", "c", "d"]);
    await again.cancel();
  },
);

graphqlTest("a connection that is not read is released and never written to again", async () => {
  await using hub = await serve();
  const connection = await Deno.connect({ hostname: "127.0.0.1", port: hub.port });
  const query = encodeURIComponent("subscription { eventStream { id properties } }");
  const request = `GET /graphql?query=${query} HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\n\r\n`;
  await connection.write(new TextEncoder().encode(request));
  await until(() => hub.hub.load.subscribers === 1);
  // The last chunk of the answer is an empty one; before it, "complete" is missing.
  const read = await stall(hub, connection, (text) => text.endsWith("\r\n0\r\n\r\n"));
  assert(!read.includes("event: complete"));
  assert(read.includes('"e0"') && !read.includes('"e1999"') && !read.includes('"late"'));
}, { net: true });

graphqlTest("events are executed once for all who ask the same, whatever place they started at", async () => {
  let executions = 0;
  const counted = (hub: HubApi): HubApi =>
    new Proxy(hub, {
      get: (target, name) => {
        if (name !== "subscribe") return Reflect.get(target, name).bind(target);
        return async (options: Parameters<HubApi["subscribe"]>[0]): Promise<LiveSubscription> =>
          watched(await target.subscribe(options), () => executions += 1);
      },
    });
  await using hub = await open({ wrapHub: counted });
  const head = (await hub.ask("{ streamHead }")).data.streamHead;
  const query = (field: string): string =>
    `subscription ($after: String, $more: Boolean = false) { eventStream(after: $after) { ${field} userId @include(if: $more) } }`;
  const streams = [
    await hub.follow(query("id")),
    await hub.follow(query("id"), { variables: { after: head } }),
    await hub.follow(query("id").replace("after: $after", `after: "latest"`).replace("$after: String, ", "")),
    await hub.follow(query("id"), { variables: { more: true } }),
    await hub.follow(query("eventType")),
  ];
  for (const stream of streams) await stream.block();
  for (const stream of streams) await stream.block();
  await hub.publish("a");
  const results = [];
  for (const stream of streams) results.push((await stream.result()).data.eventStream);
  assertEquals(results, [
    { id: "a" },
    { id: "a" },
    { id: "a" },
    { id: "a", userId: "ann" },
    { eventType: "purchase" },
  ]);
  // The first two are the same operation; the third is written in another way.
  assertEquals(executions, 4);
  for (const stream of streams) await stream.cancel();
});

/** A subscription that tells of each time something is made of a batch. */
function watched(subscription: LiveSubscription, made: () => void): LiveSubscription {
  return new Proxy(subscription, {
    get: (target, name) => {
      if (name !== "next") {
        const found: unknown = Reflect.get(target, name, target);
        return typeof found === "function" ? found.bind(target) : found;
      }
      return async () => {
        const message = await target.next();
        if (message.kind !== "events") return message;
        const { batch } = message;
        const encode = batch.encode.bind(batch);
        const counting: typeof batch.encode = (format, encoder) =>
          encode(format, (events) => {
            if (format.includes("eventStream")) made();
            return encoder(events);
          });
        return {
          kind: "events",
          batch: Object.assign(Object.create(batch), { events: batch.events, encode: counting }),
        };
      };
    },
  });
}

graphqlTest("windows are followed: the last two, then each change", async () => {
  await using hub = await open();
  const query =
    `subscription { aggregateStream(window: MINUTE, groupBy: [EVENT_TYPE]) { start eventType count total closed } }`;
  await hub.publish("a");
  const stream = await hub.follow(query);
  const row = { start: "2025-07-15T12:34:00.000Z", eventType: "purchase" };
  assertEquals((await stream.result()).data.aggregateStream, { ...row, count: 1, total: "12.5", closed: false });
  await hub.publish("b");
  await hub.hub.tick();
  assertEquals((await stream.result()).data.aggregateStream, { ...row, count: 2, total: "25", closed: false });
  hub.clock.advance(65_000);
  await hub.hub.tick();
  assertEquals((await stream.result()).data.aggregateStream, { ...row, count: 2, total: "25", closed: true });
  const last = stream.result();
  hub.hub.endSubscriptions();
  assertEquals((await last).errors[0]?.extensions.code, "UNAVAILABLE");
  assertEquals(hub.hub.load.windowSubscribers, 0);
});

graphqlTest("graphql-js's own subscribe gets the same events from the schema", async () => {
  const { parse, subscribe } = await import("graphql");
  const { schema } = await import("../../../src/transport/graphql/schema.ts");
  await using hub = await open();
  await hub.publish("a", "b");
  const results = await subscribe({
    schema,
    document: parse(`subscription { eventStream(after: "earliest") { id } }`),
    contextValue: { hub: hub.hub, requestId: "r", naiveZone: "UTC" },
  });
  assert(Symbol.asyncIterator in results);
  assertEquals(JSON.stringify((await results.next()).value), '{"data":{"eventStream":{"id":"a"}}}');
  assertEquals(JSON.stringify((await results.next()).value), '{"data":{"eventStream":{"id":"b"}}}');
  await results.return();
  assertEquals(hub.hub.load.subscribers, 0);
});
