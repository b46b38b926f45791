/** Server-sent events: GET /events/stream and GET /aggregates/stream. */
import { assert, assertEquals } from "@std/assert";
import { type SseBlock, SseParser } from "../../../src/cli/sse.ts";
import { HubError } from "../../../src/errors.ts";
import { LiveBatch, type LiveMessage, type LiveSubscription, type SubscribeOptions } from "../../../src/feed.ts";
import { STREAM_KEEP_ALIVE_MS, SUBSCRIBER_STALL_MS } from "../../../src/limits.ts";
import { assertProblem, assertShape, faults, openRest, withId } from "./rest_harness.ts";

async function* blocksOf(body: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<SseBlock> {
  const parser = new SseParser();
  for await (const text of body.pipeThrough(new TextDecoderStream())) yield* parser.push(text);
}

/** Reads a stream block by block. */
class Reader implements AsyncDisposable {
  readonly response: Response;
  readonly #blocks: AsyncGenerator<SseBlock>;

  constructor(response: Response) {
    assertEquals([response.status, response.headers.get("content-type")], [200, "text/event-stream"]);
    this.response = response;
    this.#blocks = blocksOf(response.body!);
  }

  async next(): Promise<SseBlock> {
    const { value, done } = await this.#blocks.next();
    assert(!done, "the stream ended");
    return value;
  }

  async ended(): Promise<boolean> {
    return (await this.#blocks.next()).done === true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#blocks.return(undefined);
  }
}

/** A subscription that gives what a test tells it to, one message a call. */
class Scripted implements LiveSubscription {
  readonly #messages: LiveMessage[];
  readonly #abort = new AbortController();
  calls = 0;
  closed = 0;
  cursor = "c0";

  constructor(messages: LiveMessage[]) {
    this.#messages = messages;
  }

  get ended(): AbortSignal {
    return this.#abort.signal;
  }

  next(): Promise<LiveMessage> {
    this.calls += 1;
    const message = this.#messages.shift();
    return message === undefined ? new Promise(() => {}) : Promise.resolve(message);
  }

  end(reason: "slow_consumer" | "shutdown"): void {
    this.#messages.splice(0, Infinity, { kind: "end", reason, cursor: "c9" });
    this.#abort.abort(reason);
  }

  close(): void {
    this.closed += 1;
  }
}

const scripted = (subscription: LiveSubscription) => ({ subscribe: () => Promise.resolve(subscription) });

Deno.test("rest stream: the first block is an id alone, then events with their cursors", async () => {
  await using test = openRest();
  await using reader = new Reader(await test.open("/events/stream"));
  const first = await reader.next();
  assertEquals([first.event, first.data], ["", ""]);
  assert(first.id !== null);
  assertEquals(reader.response.headers.get("cache-control"), "no-store, no-transform");
  assertEquals(reader.response.headers.get("x-accel-buffering"), "no");

  await test.ask("/events", { body: withId("a", { properties: { text: "two\nlines\r\u2028" } }) });
  const block = await reader.next();
  assertEquals(block.event, "event");
  assertShape("Event", JSON.parse(block.data));
  assertEquals(JSON.parse(block.data), (await test.ask("/events/a")).json);
});

Deno.test("rest stream: goes on behind a cursor; Last-Event-ID beats after", async () => {
  await using test = openRest();
  const before = (await test.ask("/events")).headers.get("x-stream-cursor")!;
  await test.ask("/events/batch", { body: [withId("a"), withId("b"), withId("c")] });
  const idsOf = async (path: string, count: number, headers = {}) => {
    await using reader = new Reader(await test.open(path, { headers }));
    await reader.next();
    const seen: SseBlock[] = [];
    while (seen.length < count) seen.push(await reader.next());
    return seen;
  };
  const all = await idsOf(`/events/stream?after=${encodeURIComponent(before)}`, 3);
  assertEquals(all.map(({ data }) => JSON.parse(data).id), ["a", "b", "c"]);
  const rest = await idsOf("/events/stream?after=earliest", 2, { "last-event-id": all[0]!.id! });
  assertEquals(rest.map(({ data }) => JSON.parse(data).id), ["b", "c"]);
  assertEquals((await idsOf("/events/stream?after=earliest", 3, { "last-event-id": "" })).length, 3);
  assertEquals((await idsOf("/events/stream?after=2025-07-15T12:34:56Z", 3)).length, 3);
});

Deno.test("rest stream: filters by user and types", async () => {
  const asked: SubscribeOptions[] = [];
  const subscribe = (options: SubscribeOptions) => {
    asked.push(options);
    return Promise.resolve(new Scripted([]));
  };
  await using test = openRest({ replace: { subscribe } });
  const response = await test.open("/events/stream?user_id=u1&event_type=refund&event_type=return");
  await response.body?.cancel();
  assertEquals(asked, [{
    tenant: "default",
    start: { at: "latest" },
    filter: { userId: "u1", eventTypes: ["refund", "return"] },
  }]);
});

Deno.test("rest stream: keep-alives move the id, also past events that do not match", async () => {
  await using test = openRest();
  await using reader = new Reader(await test.open("/events/stream?user_id=nobody"));
  const first = await reader.next();
  const pending = reader.next();
  await test.ask("/events", { body: withId("a") });
  await test.hub.whenSettled();
  test.clock.advance(STREAM_KEEP_ALIVE_MS);
  await test.hub.tick();
  const keepAlive = await pending;
  assertEquals([keepAlive.event, keepAlive.data], ["", ""]);
  assert(keepAlive.id !== first.id);
});

Deno.test("rest stream: resets and the end are told, the id alone comes first", async () => {
  const subscription = new Scripted([
    { kind: "reset", reason: "epoch", mode: "replay", cursor: "c1" },
    { kind: "position", cursor: "c2" },
    { kind: "reset", reason: "trimmed", mode: "skip", cursor: "c3" },
    { kind: "end", reason: "shutdown", cursor: "c4" },
  ]);
  await using test = openRest({ replace: scripted(subscription) });
  await using reader = new Reader(await test.open("/events/stream"));
  assertEquals(await reader.next(), { event: "", data: "", id: "c1" });
  assertEquals(await reader.next(), {
    event: "reset",
    data: '{"reason":"epoch","mode":"replay","cursor":"c1"}',
    id: "c1",
  });
  assertEquals(await reader.next(), { event: "", data: "", id: "c2" });
  assertEquals((await reader.next()).data, '{"reason":"trimmed","mode":"skip","cursor":"c3"}');
  assertEquals(await reader.next(), { event: "end", data: '{"reason":"shutdown","cursor":"c4"}', id: "c4" });
  assert(await reader.ended());
  assertEquals(subscription.closed, 1);
});

Deno.test("rest stream: nothing is asked of the hub before the client has taken what was sent", async () => {
  const subscription = new Scripted([{ kind: "position", cursor: "c1" }, { kind: "position", cursor: "c2" }]);
  await using test = openRest({ replace: scripted(subscription) });
  const { body } = await test.open("/events/stream");
  assertEquals(subscription.calls, 0);
  const reader = body!.getReader();
  await reader.read();
  assertEquals(subscription.calls, 1);
  await reader.read();
  assertEquals(subscription.calls, 2);
  await reader.cancel();
  assertEquals(subscription.closed, 1);
});

Deno.test("rest stream: who is too slow gets nothing more, and everything is released", async () => {
  const subscription = new Scripted([{ kind: "position", cursor: "c1" }]);
  await using test = openRest({ replace: scripted(subscription) });
  const { body } = await test.open("/events/stream");
  const reader = body!.getReader();
  await reader.read();
  subscription.end("slow_consumer");
  assertEquals((await reader.read()).done, true);
  assertEquals([subscription.closed, subscription.calls], [1, 1]);
});

Deno.test("rest stream: a shutdown reaches a client that is not reading just then", async () => {
  const subscription = new Scripted([{ kind: "position", cursor: "c1" }]);
  await using test = openRest({ replace: scripted(subscription) });
  const { body } = await test.open("/events/stream");
  const reader = body!.getReader();
  await reader.read();
  subscription.end("shutdown");
  const { value } = await reader.read();
  assertEquals(new TextDecoder().decode(value), 'event: end\nid: c9\ndata: {"reason":"shutdown","cursor":"c9"}\n\n');
  assertEquals((await reader.read()).done, true);
  assertEquals(subscription.closed, 1);
});

Deno.test("rest stream: a client that goes away closes its subscription, waiting or not", async () => {
  await using test = openRest();
  const waiting = await test.open("/events/stream");
  const unread = await test.open("/events/stream");
  const rows = await test.open("/aggregates/stream");
  const reader = waiting.body!.getReader();
  await reader.read();
  void reader.read();
  assertEquals([test.hub.load.subscribers, test.hub.load.windowSubscribers], [2, 1]);
  await Promise.all([reader.cancel(), unread.body!.cancel(), rows.body!.cancel()]);
  assertEquals([test.hub.load.subscribers, test.hub.load.windowSubscribers], [0, 0]);
});

Deno.test("rest stream: a subscriber that stalls is ended after 30 s, and resumes from its last id", async () => {
  await using test = openRest();
  const { body } = await test.open("/events/stream?after=earliest");
  const reader = body!.getReader();
  const { value } = await reader.read();
  const id = /^id: (.+)/.exec(new TextDecoder().decode(value))![1]!;
  await test.ask("/events", { body: withId("a") });
  await test.hub.whenSettled();
  test.clock.advance(SUBSCRIBER_STALL_MS + 1_000);
  await test.hub.tick();
  assertEquals(test.hub.load.subscribers, 0);
  assertEquals((await reader.read()).done, true);
  await using resumed = new Reader(await test.open("/events/stream", { headers: { "last-event-id": id } }));
  await resumed.next();
  assertEquals(JSON.parse((await resumed.next()).data).id, "a");
});

Deno.test("rest stream: the bytes of a batch are made once for all its subscribers", async () => {
  let encoded = 0;
  const event = {
    get id() {
      encoded += 1;
      return "a";
    },
    tenant: "default",
    userId: "u1",
    eventType: "purchase",
    amount: 10_000,
    timestamp: 0,
    timestampGiven: true,
    receivedAt: 0,
    source: "rest",
    properties: null,
  } as const;
  const batch = new LiveBatch([{ event, cursor: "c1" }]);
  encoded = 0;
  await using test = openRest({
    replace: { subscribe: () => Promise.resolve(new Scripted([{ kind: "events", batch }])) },
  });
  for (let count = 0; count < 3; count++) {
    await using reader = new Reader(await test.open("/events/stream"));
    assertEquals((await reader.next()).id, "c1");
  }
  assertEquals(encoded, 1);
});

Deno.test("rest stream: bad parameters and cursors are errors before the stream begins", async () => {
  await using test = openRest();
  assertProblem(await test.ask("/events/stream?after=nonsense"), 400, "invalid_cursor");
  assertProblem(await test.ask("/events/stream", { headers: { "last-event-id": "x" } }), 400, "invalid_cursor");
  const page = await test.ask("/events/batch", { body: [withId("a"), withId("b")] });
  assertEquals(page.status, 200);
  const { next_cursor } = (await test.ask("/events?limit=1")).json;
  assertProblem(await test.ask(`/events/stream?after=${next_cursor}`), 400, "invalid_cursor");
  const answered = await test.ask("/events/stream?after=2025-13-01T00:00:00Z&limit=5&user_id=&event_type=9");
  assertProblem(answered, 422, "invalid_argument");
  assertEquals(faults(answered), [
    "after invalid_timestamp",
    "event_type invalid_format",
    "limit unknown_parameter",
    "user_id too_short",
  ]);
  const json = { headers: { accept: "application/json" } };
  assertProblem(await test.ask("/events/stream", json), 406, "not_acceptable");
  const subscribe = () => Promise.reject(new HubError("overloaded", "Too many subscribers"));
  await using full = openRest({ replace: { subscribe } });
  assertProblem(await full.ask("/events/stream"), 503, "overloaded");
});

Deno.test("rest stream: HEAD opens no subscription", async () => {
  await using test = openRest();
  for (const path of ["/events/stream", "/aggregates/stream"]) {
    const answered = await test.ask(path, { method: "HEAD" });
    assertEquals([answered.status, answered.headers.get("content-type")], [200, "text/event-stream"]);
  }
  assertEquals([test.hub.load.subscribers, test.hub.load.windowSubscribers], [0, 0]);
});

Deno.test("rest stream: rows of windows come first as they are, then as they change, then closed", async () => {
  await using test = openRest();
  await test.ask("/events", { body: withId("a", { event_type: "refund" }) });
  await using reader = new Reader(await test.open("/aggregates/stream?group_by=event_type&window=1m"));
  const row = async () => {
    const block = await reader.next();
    assertEquals(block.event, "aggregate");
    assertShape("AggregateRow", JSON.parse(block.data));
    return JSON.parse(block.data);
  };
  const first = await row();
  assertEquals([first.event_type, first.count, first.total, first.net, first.closed], [
    "refund",
    1,
    "12.5",
    "-12.5",
    false,
  ]);
  await test.ask("/events", { body: withId("b", { event_type: "refund" }) });
  await test.hub.whenSettled();
  test.clock.advance(1_000);
  await test.hub.tick();
  assertEquals((await row()).revision, 2);
  test.clock.advance(60_000);
  await test.hub.tick();
  assertEquals((await row()).closed, true);
});

Deno.test("rest stream: a stream of windows ends with the hub, and its parameters are checked", async () => {
  await using test = openRest();
  await using reader = new Reader(await test.open("/aggregates/stream"));
  const pending = reader.next();
  test.hub.endSubscriptions();
  assertEquals(await pending, { event: "end", data: '{"reason":"shutdown"}', id: null });
  assert(await reader.ended());
  const answered = await test.ask("/aggregates/stream?window=2m&group_by=user_id&fill=zero");
  assertEquals(faults(answered), ["fill unknown_parameter", "group_by invalid_value", "window invalid_value"]);
});
