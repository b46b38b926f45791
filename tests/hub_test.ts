/** The use cases over the memory drivers: what is taken, what is refused, what the numbers are. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { type ErrorCode, HubError } from "../src/errors.ts";
import type { AggregatesRequest, Hub } from "../src/hub.ts";
import { AGGREGATE_ROWS_MAX, BATCH_EVENTS_MAX, BATCH_FIELD_ERRORS_MAX, FIELD_ERRORS_MAX } from "../src/limits.ts";
import type { AppendStatus } from "../src/storage.ts";
import { altered } from "./altered.ts";
import { openTestHub, START } from "./harness.ts";

const SENDER = { tenant: "default", source: "rest" } as const;
const VALID = { user_id: "u1", event_type: "purchase", amount: 12.5 };
const MINUTE = 60_000;

async function refusedWith(code: ErrorCode, run: () => Promise<unknown>): Promise<HubError> {
  const error = await assertRejects(run, HubError);
  assertEquals(error.code, code);
  return error;
}

/** The memory store, answering every append with one status instead. */
function answering(status: AppendStatus | "never") {
  return openTestHub({
    requestTimeoutMs: 1,
    wrapStore: (store) =>
      new Proxy(store, {
        get(target, name) {
          if (name === "append") {
            return (events: readonly unknown[]) =>
              status === "never"
                ? new Promise((resolve) => setTimeout(resolve, 50, []))
                : Promise.resolve(events.map(() => status));
          }
          const value = Reflect.get(target, name, target);
          return typeof value === "function" ? value.bind(target) : value;
        },
      }),
  });
}

Deno.test("hub: a published event is stored as sent, with what the hub adds", async () => {
  await using test = openTestHub();
  const input = { ...VALID, id: "order-1", timestamp: "2025-07-15T12:00:00.123456", properties: { shop: "a" } };
  assertEquals(await test.hub.publish(input, SENDER), { id: "order-1", duplicate: false });
  assertEquals(await test.hub.get("default", "order-1"), {
    id: "order-1",
    tenant: "default",
    userId: "u1",
    eventType: "purchase",
    amount: 125_000,
    timestamp: Date.UTC(2025, 6, 15, 12, 0, 0, 123),
    timestampGiven: true,
    receivedAt: START,
    source: "rest",
    properties: '{"shop":"a"}',
  });
});

Deno.test("hub: an event without id gets a UUIDv7, one without timestamp the hub's time", async () => {
  await using test = openTestHub();
  const { id } = await test.hub.publish(VALID, SENDER);
  assertMatch(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  assertEquals((await test.hub.get("default", id)).timestamp, START);
});

Deno.test("hub: the same id and content is a duplicate, also later and without a timestamp; other content a conflict", async () => {
  await using test = openTestHub();
  const input = { ...VALID, id: "a" };
  await test.hub.publish(input, SENDER);
  test.clock.advance(5_000);
  assertEquals(await test.hub.publish(input, SENDER), { id: "a", duplicate: true });
  const error = await refusedWith("conflict", () => test.hub.publish({ ...input, amount: 13 }, SENDER));
  assertEquals(error.errors.map(({ pointer }) => pointer), ["/id"]);
  assertEquals((await test.hub.get("default", "a")).timestamp, START);
});

Deno.test("hub: a refused event tells every fault", async () => {
  await using test = openTestHub();
  const error = await refusedWith("invalid_argument", () => test.hub.publish({ amount: "x", colour: 1 }, SENDER));
  assertEquals(error.errors.map(({ pointer, code }) => `${pointer} ${code}`).sort(), [
    "/amount invalid_format",
    "/colour unknown_field",
    "/event_type required",
    "/user_id required",
  ]);
});

Deno.test("hub: an unknown outcome is a retryable error that carries the id the hub gave", async () => {
  for (const [status, code] of [["unavailable", "unavailable"], ["never", "deadline_exceeded"]] as const) {
    await using test = answering(status);
    const error = await refusedWith(code, () => test.hub.publish(VALID, SENDER));
    assert(error.retryable);
    assert(error.id !== undefined);
    const own = await refusedWith(code, () => test.hub.publish({ ...VALID, id: "mine" }, SENDER));
    assertEquals(own.id, undefined);
    const [result] = await test.hub.publishBatch([VALID], SENDER);
    assertEquals(result!.status, "unavailable");
  }
});

Deno.test("hub: a store that refuses a type or a purged time says which field", async () => {
  const cases = [["too_many_event_types", "/event_type"], ["purged", "/timestamp"]] as const;
  for (const [status, pointer] of cases) {
    await using test = answering(status);
    const error = await refusedWith("invalid_argument", () => test.hub.publish(VALID, SENDER));
    assertEquals(error.errors[0]!.pointer, pointer);
    const [result] = await test.hub.publishBatch([VALID], SENDER);
    assert(result?.status === "invalid");
    assertEquals(result.errors[0]!.pointer, pointer);
  }
});

Deno.test("hub: one bad event of a batch harms no other", async () => {
  await using test = openTestHub();
  await test.hub.publish({ ...VALID, id: "old" }, SENDER);
  const inputs = [
    { ...VALID, id: "a" },
    { id: "b" },
    { ...VALID, id: "old" },
    { ...VALID, id: "old", amount: 1 },
    null,
  ];
  const results = await test.hub.publishBatch(inputs, SENDER);
  assertEquals(results.map(({ status, id }) => [status, id]), [
    ["stored", "a"],
    ["invalid", "b"],
    ["duplicate", "old"],
    ["conflict", "old"],
    ["invalid", null],
  ]);
});

Deno.test("hub: a batch tells so many field errors, then of each further event the first alone", async () => {
  await using test = openTestHub();
  const faulty = { id: "a b", amount: "x", colour: 1, properties: { $a: 1, $b: 2 } };
  const results = await test.hub.publishBatch(Array.from({ length: BATCH_EVENTS_MAX }, () => faulty), SENDER);
  const told = results.map((result) => "errors" in result ? result.errors.length : 0);
  assertEquals([told[0], told[500], told.at(-1)], [7, 7, 1]);
  const full = told.filter((count) => count === 7).length;
  assert(7 * full <= BATCH_FIELD_ERRORS_MAX && 7 * (full + 2) > BATCH_FIELD_ERRORS_MAX, `${full} events tell all`);
  assert(told.every((count) => count >= 1), "every event tells its first fault");
  // The next batch begins anew.
  const [next] = await test.hub.publishBatch([faulty], SENDER);
  assert(next?.status === "invalid" && next.errors.length === 7);
});

Deno.test("hub: names that are much too long are cut where a field error repeats them", async () => {
  await using test = openTestHub();
  const name = "x".repeat(100_000);
  const inner = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`$${index}`, 1]));
  const input = { ...VALID, [name]: 1, properties: { [name]: inner } };
  const { errors } = await refusedWith("invalid_argument", () => test.hub.publish(input, SENDER));
  assertEquals(errors.length, FIELD_ERRORS_MAX);
  assert(JSON.stringify(errors).length < 32 * 1024, `${JSON.stringify(errors).length} characters`);
});

Deno.test("hub: a batch beyond the limit is refused whole; an empty one is fine", async () => {
  await using test = openTestHub();
  const inputs = Array.from({ length: BATCH_EVENTS_MAX + 1 }, () => VALID);
  await refusedWith("payload_too_large", () => test.hub.publishBatch(inputs, SENDER));
  assertEquals((await test.hub.list({ tenant: "default" }, { limit: 1, order: "desc" })).events, []);
  assertEquals(await test.hub.publishBatch([], SENDER), []);
});

Deno.test("hub: pages cover a list once, and their cursors are bound to tenant and order", async () => {
  await using test = openTestHub();
  const inputs = Array.from({ length: 25 }, (_, index) => ({ ...VALID, id: `e${index}` }));
  await test.hub.publishBatch(inputs, SENDER);
  const got: string[] = [];
  let cursor: string | undefined;
  do {
    const page = await test.hub.list({ tenant: "default" }, { limit: 4, order: "asc", cursor });
    got.push(...page.events.map(({ id }) => id));
    cursor = page.nextCursor ?? undefined;
  } while (cursor !== undefined);
  assertEquals(got, inputs.map(({ id }) => id));
  const { nextCursor } = await test.hub.list({ tenant: "default" }, { limit: 4, order: "asc" });
  const wrong = { limit: 4, order: "asc", cursor: nextCursor! } as const;
  await refusedWith("invalid_cursor", () => test.hub.list({ tenant: "other" }, wrong));
  await refusedWith("invalid_cursor", () => test.hub.list({ tenant: "default" }, { ...wrong, order: "desc" }));
  const live = await test.hub.streamHead("default");
  await refusedWith("invalid_cursor", () => test.hub.list({ tenant: "default" }, { ...wrong, cursor: live }));
  for (const limit of [0, 1_001, 1.5, NaN]) {
    await refusedWith("invalid_argument", () => test.hub.list({ tenant: "default" }, { limit, order: "asc" }));
  }
});

async function publishAt(hub: Hub, times: readonly number[], more: Record<string, unknown> = {}): Promise<void> {
  const inputs = times.map((time) => ({ ...VALID, timestamp: new Date(time).toISOString(), ...more }));
  const results = await hub.publishBatch(inputs, SENDER);
  assertEquals(results.map(({ status }) => status), times.map(() => "stored"));
}

Deno.test("hub: aggregatedMetrics counts exactly now − minutes·60 s ≤ timestamp ≤ now", async () => {
  await using test = openTestHub();
  await publishAt(test.hub, [START - 5 * MINUTE - 1, START - 5 * MINUTE, START - MINUTE, START, START + 1]);
  assertEquals(await test.hub.aggregatedMetrics("default", 5), { count: 3, sum: 375_000n });
  assertEquals(await test.hub.aggregatedMetrics("default", 1), { count: 2, sum: 250_000n });
  assertEquals(await test.hub.aggregatedMetrics("default", 1_440), { count: 4, sum: 500_000n });
  assertEquals(await test.hub.aggregatedMetrics("other", 5), { count: 0, sum: 0n });
  for (const minutes of [0, 1_441, -1, 1.5]) {
    await refusedWith("invalid_argument", () => test.hub.aggregatedMetrics("default", minutes));
  }
});

const request: AggregatesRequest = {
  tenant: "default",
  window: "1m",
  groupByType: false,
  eventTypes: null,
  fill: false,
  zone: "UTC",
  percentiles: false,
};

Deno.test("hub: aggregates widen the range to whole windows, default to the last hour, and know what is closed", async () => {
  await using test = openTestHub();
  const minute = Math.floor(START / MINUTE) * MINUTE;
  await publishAt(test.hub, [minute - MINUTE, minute]);
  const all = await test.hub.aggregates(request);
  assertEquals([all.from, all.to], [minute - 60 * MINUTE, minute + MINUTE]);
  assertEquals(all.rows.map(({ start, count, closed }) => [start, count, closed]), [
    [minute - MINUTE, 1, true],
    [minute, 1, false],
  ]);
  const narrow = await test.hub.aggregates({ ...request, from: minute + 1, to: minute + 2 });
  assertEquals([narrow.from, narrow.to, narrow.rows.length], [minute, minute + MINUTE, 1]);
  const nothing = await test.hub.aggregates({ ...request, from: minute, to: minute });
  assertEquals(nothing.rows, []);
});

Deno.test("hub: a window closes 5 s after its end", async () => {
  await using test = openTestHub();
  const end = Math.ceil(START / MINUTE) * MINUTE;
  await publishAt(test.hub, [START]);
  test.clock.advance(end + 5_000 - START - 1);
  const before = await test.hub.aggregates({ ...request, from: START, to: START + 1 });
  test.clock.advance(1);
  const after = await test.hub.aggregates({ ...request, from: START, to: START + 1 });
  assertEquals([before.rows[0]!.closed, after.rows[0]!.closed], [false, true]);
});

Deno.test("hub: too many windows and a turned range are refused", async () => {
  await using test = openTestHub();
  const to = Math.floor(START / MINUTE) * MINUTE;
  const from = to - AGGREGATE_ROWS_MAX * MINUTE;
  assertEquals((await test.hub.aggregates({ ...request, from, to, fill: true })).rows.length, AGGREGATE_ROWS_MAX);
  await refusedWith("range_too_large", () => test.hub.aggregates({ ...request, from: from - 1, to }));
  await refusedWith("invalid_argument", () => test.hub.aggregates({ ...request, from: to, to: from }));
});

Deno.test("hub: live windows give the last two first, then what changes, at most once a tick, then what closes", async () => {
  await using test = openTestHub();
  const minute = Math.floor(START / MINUTE) * MINUTE;
  await publishAt(test.hub, [minute - 2 * MINUTE, minute - MINUTE]);
  const subscription = await test.hub.subscribeAggregates({ ...request });
  const rows = async () => {
    const message = await subscription.next();
    assert(message.kind === "rows");
    return message.rows.map(({ start, count, closed }) => [start - minute, count, closed]);
  };
  assertEquals(await rows(), [[-MINUTE, 1, true]]);
  await publishAt(test.hub, [minute, minute + 1]);
  await publishAt(test.hub, [minute - 30 * MINUTE]);
  await test.hub.tick();
  assertEquals(await rows(), [[-30 * MINUTE, 1, true], [0, 2, false]]);
  test.clock.advance(MINUTE + 5_000);
  await test.hub.tick();
  assertEquals(await rows(), [[0, 2, true]]);
  const next = subscription.next();
  test.clock.advance(15_000);
  await test.hub.tick();
  assertEquals((await next).kind, "alive");
  subscription.close();
  assertEquals(test.hub.load.windowSubscribers, 0);
});

Deno.test("hub: after a gap in what is told of changes, the windows that are followed are sent again", async () => {
  let gap = () => {};
  await using test = openTestHub({
    wrapStream: (sound) =>
      altered(sound, {
        // Tells of no commit: what happens then is known to nobody.
        watchCells: (listener) => {
          gap = () => listener("all");
          return () => {};
        },
      }),
  });
  const minute = Math.floor(START / MINUTE) * MINUTE;
  await publishAt(test.hub, [minute - MINUTE, minute]);
  const subscription = await test.hub.subscribeAggregates({ ...request });
  const rows = async () => {
    const message = await subscription.next();
    assert(message.kind === "rows");
    return message.rows.map(({ start, count }) => [start - minute, count]);
  };
  assertEquals(await rows(), [[-MINUTE, 1], [0, 1]]);
  await publishAt(test.hub, [minute - MINUTE, minute, minute]);
  await test.hub.tick();
  gap();
  await test.hub.tick();
  assertEquals(await rows(), [[-MINUTE, 2], [0, 3]]);
  subscription.close();
});

Deno.test("hub: a stalled subscriber of windows is ended, newer rows replacing older ones until then", async () => {
  await using test = openTestHub();
  const subscription = await test.hub.subscribeAggregates({ ...request });
  await publishAt(test.hub, [START]);
  await test.hub.tick();
  await publishAt(test.hub, [START]);
  await test.hub.tick();
  const message = await subscription.next();
  assert(message.kind === "rows");
  assertEquals(message.rows.map(({ count }) => count), [2]);
  await publishAt(test.hub, [START]);
  await test.hub.tick();
  test.clock.advance(30_000);
  await test.hub.tick();
  assert(subscription.ended.aborted);
  assertEquals(await subscription.next(), { kind: "end", reason: "slow_consumer" });
});

Deno.test("hub: a closed hub takes nothing", async () => {
  const test = openTestHub();
  await test.hub.close();
  await refusedWith("unavailable", () => test.hub.publish(VALID, SENDER));
  await test[Symbol.asyncDispose]();
});
