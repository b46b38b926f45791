/** The live feed over a real log: order, no gap, bounded queues, resume, resets, ends. */
import { assert, assertEquals, assertNotEquals, assertRejects } from "@std/assert";
import { HubError } from "../src/errors.ts";
import type { LiveMessage, LiveSubscription } from "../src/feed.ts";
import type { Hub } from "../src/hub.ts";
import {
  LOG_PAGE_EVENTS,
  STREAM_KEEP_ALIVE_MS,
  SUBSCRIBER_QUEUE_EVENTS_MAX,
  SUBSCRIBER_STALL_MS,
} from "../src/limits.ts";
import { openTestHub } from "./harness.ts";

const SENDER = { tenant: "default", source: "rest" } as const;

async function publish(hub: Hub, ids: readonly string[], more: Record<string, unknown> = {}): Promise<void> {
  const events = ids.map((id) => ({ id, user_id: "u1", event_type: "purchase", amount: 1, ...more }));
  const results = await hub.publishBatch(events, SENDER);
  assertEquals(results.map(({ status }) => status), ids.map(() => "stored"));
}

function subscribe(hub: Hub, start: Parameters<Hub["subscribe"]>[0]["start"], filter = {}): Promise<LiveSubscription> {
  return hub.subscribe({ tenant: "default", start, filter });
}

/** Reads until so many events have come; gives their ids and the messages in between. */
async function take(subscription: LiveSubscription, count: number) {
  const ids: string[] = [];
  const cursors: string[] = [];
  const others: LiveMessage[] = [];
  while (ids.length < count) {
    const message = await subscription.next();
    if (message.kind === "events") {
      for (const { event, cursor } of message.batch.events) {
        ids.push(event.id);
        cursors.push(cursor);
      }
    } else {
      others.push(message);
      if (message.kind === "end") break;
    }
  }
  return { ids, cursors, others };
}

const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

Deno.test("feed: the first message is the position, then every event once, in the order of the log", async () => {
  await using test = openTestHub();
  const subscription = await subscribe(test.hub, { at: "latest" });
  assertEquals((await subscription.next()).kind, "position");
  const reading = take(subscription, 30);
  for (const part of ["a", "b", "c"]) await publish(test.hub, names(part, 10));
  assertEquals((await reading).ids, [...names("a", 10), ...names("b", 10), ...names("c", 10)]);
  subscription.close();
});

Deno.test("feed: from the earliest it replays and goes on live without a gap, also over many pages", async () => {
  await using test = openTestHub();
  const before = names("old", LOG_PAGE_EVENTS * 2 + 7);
  await publish(test.hub, before);
  const subscription = await subscribe(test.hub, { at: "earliest" });
  const after = names("new", 20);
  const reading = take(subscription, before.length + after.length);
  await publish(test.hub, after);
  assertEquals((await reading).ids, [...before, ...after]);
  subscription.close();
});

Deno.test("feed: every cursor resumes right behind its event", async () => {
  await using test = openTestHub();
  const ids = names("e", 12);
  await publish(test.hub, ids);
  const first = await subscribe(test.hub, { at: "earliest" });
  const { cursors } = await take(first, ids.length);
  first.close();
  for (const [index, cursor] of cursors.slice(0, -1).entries()) {
    const resumed = await subscribe(test.hub, { cursor });
    assertEquals((await take(resumed, ids.length - index - 1)).ids, ids.slice(index + 1));
    resumed.close();
  }
});

Deno.test("feed: a filter restricts by user and type; the cursor moves on over what does not match", async () => {
  await using test = openTestHub();
  const subscription = await subscribe(test.hub, { at: "latest" }, { userId: "u2", eventTypes: ["refund"] });
  await subscription.next();
  const start = subscription.cursor;
  const reading = take(subscription, 1);
  await publish(test.hub, names("no", 5));
  await publish(test.hub, ["no-type"], { user_id: "u2" });
  await test.hub.whenSettled();
  assertNotEquals(subscription.cursor, start);
  await publish(test.hub, ["yes"], { user_id: "u2", event_type: "refund" });
  assertEquals((await reading).ids, ["yes"]);
  subscription.close();
});

Deno.test("feed: tenants see nothing of each other", async () => {
  await using test = openTestHub();
  const other = await test.hub.subscribe({ tenant: "other", start: { at: "earliest" }, filter: {} });
  await other.next();
  await publish(test.hub, ["secret"]);
  const results = await test.hub.publishBatch([{ id: "mine", user_id: "u", event_type: "purchase", amount: 1 }], {
    tenant: "other",
    source: "rest",
  });
  assertEquals(results[0]!.status, "stored");
  assertEquals((await take(other, 1)).ids, ["mine"]);
  other.close();
});

Deno.test("feed: subscribers with the same filter share one batch and its encodings", async () => {
  await using test = openTestHub();
  const subscriptions = await Promise.all(names("s", 3).map(() => subscribe(test.hub, { at: "latest" })));
  for (const each of subscriptions) await each.next();
  const next = Promise.all(subscriptions.map((each) => each.next()));
  await publish(test.hub, ["a"]);
  let encodings = 0;
  const encoded = (await next).map((message) => {
    assert(message.kind === "events");
    return message.batch.encode("test", () => ({ made: ++encodings }));
  });
  assertEquals(encoded, [{ made: 1 }, { made: 1 }, { made: 1 }]);
  for (const each of subscriptions) each.close();
});

Deno.test("feed: who falls behind reads the log at its own pace and misses nothing", async () => {
  await using test = openTestHub();
  const slow = await subscribe(test.hub, { at: "latest" });
  const quick = await subscribe(test.hub, { at: "latest" });
  await slow.next();
  await quick.next();
  const ids = names("e", SUBSCRIBER_QUEUE_EVENTS_MAX * 3);
  // Both are live; the slow one then takes nothing while its queue overflows.
  const firstOfSlow = slow.next();
  const reading = take(quick, ids.length);
  await publish(test.hub, ids.slice(0, 1));
  const first = await firstOfSlow;
  assert(first.kind === "events");
  for (let at = 1; at < ids.length; at += 100) await publish(test.hub, ids.slice(at, at + 100));
  assertEquals((await reading).ids, ids);
  assertEquals((await take(slow, ids.length - 1)).ids, ids.slice(1));
  slow.close();
  quick.close();
});

Deno.test("feed: who takes nothing for 30 s is ended with a cursor it can resume from", async () => {
  await using test = openTestHub();
  const stalled = await subscribe(test.hub, { at: "latest" });
  await stalled.next();
  const first = stalled.next();
  await publish(test.hub, ["a"]);
  await first;
  await publish(test.hub, ["b", "c"]);
  await test.hub.whenSettled();
  test.clock.advance(SUBSCRIBER_STALL_MS - 1);
  await test.hub.tick();
  assert(!stalled.ended.aborted);
  test.clock.advance(1);
  await test.hub.tick();
  assert(stalled.ended.aborted);
  assertEquals(stalled.ended.reason, "slow_consumer");
  assertEquals(test.hub.load.subscribers, 0);
  const end = await stalled.next();
  assert(end.kind === "end");
  assertEquals(end.reason, "slow_consumer");
  const resumed = await subscribe(test.hub, { cursor: end.cursor });
  assertEquals((await take(resumed, 2)).ids, ["b", "c"]);
  resumed.close();
});

Deno.test("feed: who waits and gets nothing is not stalled; it gets its position every 15 s", async () => {
  await using test = openTestHub();
  const subscription = await subscribe(test.hub, { at: "latest" });
  await subscription.next();
  for (let round = 0; round < 5; round++) {
    const next = subscription.next();
    await test.hub.whenSettled();
    test.clock.advance(STREAM_KEEP_ALIVE_MS);
    await test.hub.tick();
    assertEquals((await next).kind, "position");
  }
  subscription.close();
});

Deno.test("feed: closing the hub ends every subscription with shutdown and its cursor", async () => {
  const test = openTestHub();
  const waiting = await subscribe(test.hub, { at: "latest" });
  const busy = await subscribe(test.hub, { at: "earliest" });
  await waiting.next();
  const next = waiting.next();
  await test.hub.close();
  for (const message of [await next, await waiting.next(), await busy.next()]) {
    assert(message.kind === "end");
    assertEquals(message.reason, "shutdown");
    assert(message.cursor.length > 0);
  }
  const error = await assertRejects(() => subscribe(test.hub, { at: "latest" }), HubError);
  assertEquals(error.code, "unavailable");
  await test[Symbol.asyncDispose]();
});

Deno.test("feed: closing from the subscriber's side answers a waiting next and forgets it", async () => {
  await using test = openTestHub();
  const subscription = await subscribe(test.hub, { at: "latest" });
  await subscription.next();
  const next = subscription.next();
  subscription.close();
  assertEquals((await next).kind, "end");
  assertEquals(test.hub.load.subscribers, 0);
});

Deno.test("feed: text that is no cursor is refused", async () => {
  await using test = openTestHub();
  const error = await assertRejects(() => subscribe(test.hub, { cursor: "nonsense" }), HubError);
  assertEquals(error.code, "invalid_cursor");
});

Deno.test("feed: a purged position is announced as a reset, and the stream goes on at the oldest event kept", async () => {
  await using test = openTestHub();
  await publish(test.hub, ["a", "b"]);
  const first = await subscribe(test.hub, { at: "earliest" });
  const { cursors } = await take(first, 2);
  first.close();
  test.clock.advance(60_000);
  await publish(test.hub, ["c", "d"]);
  await test.store.purge(test.clock.now());
  const resumed = await subscribe(test.hub, { cursor: cursors[0]! });
  const message = await resumed.next();
  assert(message.kind === "reset");
  assertEquals([message.reason, message.mode], ["expired", "skip"]);
  assertEquals((await take(resumed, 2)).ids, ["c", "d"]);
  resumed.close();
});

Deno.test("feed: many subscribers that come and go under load each get a gapless part of the log", async () => {
  await using test = openTestHub();
  const all = names("e", 600);
  const publishing = (async () => {
    for (let at = 0; at < all.length; at += 20) await publish(test.hub, all.slice(at, at + 20));
  })();
  await Promise.all(
    names("s", 20).map(async (_, subscriber) => {
      const got: string[] = [];
      let cursor: string | null = null;
      while (got.length < all.length) {
        const subscription = await subscribe(test.hub, cursor === null ? { at: "earliest" } : { cursor });
        const { ids, cursors } = await take(subscription, Math.min(all.length - got.length, 7 + subscriber * 5));
        subscription.close();
        got.push(...ids);
        cursor = cursors.at(-1) ?? cursor;
      }
      assertEquals(got, all);
    }),
  );
  await publishing;
});
