/** The live feed when reads are late, fail or are overtaken, when the clock is set, and when many walk the log at once. */
import { assert, assertEquals } from "@std/assert";
import type { LiveMessage, LiveSubscription } from "../src/feed.ts";
import type { Hub } from "../src/hub.ts";
import { LOG_PAGE_EVENTS, LOG_PAGE_SHARED_MS, STREAM_KEEP_ALIVE_MS, SUBSCRIBER_STALL_MS } from "../src/limits.ts";
import type { EventStream } from "../src/stream.ts";
import { altered } from "./altered.ts";
import { openTestHub, START } from "./harness.ts";

const TENANT = "default";
const HOUR_MS = 3_600_000;
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}${index}`);

async function publish(hub: Hub, ids: readonly string[], user = "u"): Promise<void> {
  const inputs = ids.map((id) => ({ id, user_id: user, event_type: "purchase", amount: 1 }));
  const results = await hub.publishBatch(inputs, { tenant: TENANT, source: "rest" });
  assertEquals(results.map(({ status }) => status), ids.map(() => "stored"));
}

/** Reads until a message of a kind has come; gives it and the ids of the events before it. */
async function until<K extends LiveMessage["kind"]>(subscription: LiveSubscription, kind: K) {
  const ids: string[] = [];
  for (;;) {
    const message = await subscription.next();
    if (message.kind === kind) return { message: message as Extract<LiveMessage, { kind: K }>, ids };
    if (message.kind === "events") ids.push(...idsOf(message));
    if (message.kind === "end") throw new Error(`It ended with ${message.reason} before a message of kind ${kind}`);
  }
}

function idsOf(message: LiveMessage): string[] {
  assert(message.kind === "events", `It is ${message.kind}`);
  return message.batch.events.map(({ event }) => event.id);
}

/** Reads of the log can be held up before or after they are done, those of the tail or those of who walks. */
class Reads {
  before: ((tail: boolean) => Promise<void>) | null = null;
  after: ((tail: boolean) => Promise<void>) | null = null;
  walking = 0;

  wrap(stream: EventStream): EventStream {
    return altered(stream, {
      read: async (options) => {
        const tail = options.tenant === undefined;
        if (!tail) this.walking += 1;
        await this.before?.(tail);
        const page = await stream.read(options);
        await this.after?.(tail);
        return page;
      },
    });
  }
}

function openWithReads() {
  const reads = new Reads();
  return { reads, test: openTestHub({ wrapStream: (stream) => reads.wrap(stream) }) };
}

Deno.test("feed: whom the tail has overtaken while he read does not join it before he has caught up", async () => {
  const { reads, test: opened } = openWithReads();
  await using test = opened;
  const live = await test.hub.subscribe({ tenant: TENANT, start: { at: "latest" }, filter: {} });
  await live.next();
  const first = live.next();
  await publish(test.hub, ["a"]);
  assertEquals(idsOf(await first), ["a"]);
  const late = await test.hub.subscribe({ tenant: TENANT, start: { at: "earliest" }, filter: {} });
  await late.next();
  const release = Promise.withResolvers<void>();
  reads.after = (tail) => tail ? Promise.resolve() : release.promise;
  const page = late.next();
  const second = live.next();
  await publish(test.hub, ["b", "c"]);
  assertEquals(idsOf(await second), ["b", "c"]);
  release.resolve();
  reads.after = null;
  assertEquals(idsOf(await page), ["a"]);
  assertEquals(idsOf(await late.next()), ["b", "c"]);
  live.close();
  late.close();
});

Deno.test("feed: when the tail cannot be read, whom it feeds is ended with his cursor", async () => {
  const { reads, test: opened } = openWithReads();
  await using test = opened;
  const live = await test.hub.subscribe({ tenant: TENANT, start: { at: "latest" }, filter: {} });
  await live.next();
  const first = live.next();
  await publish(test.hub, ["a"]);
  assertEquals(idsOf(await first), ["a"]);
  reads.before = (tail) => tail ? Promise.reject(new Error("The disk is gone")) : Promise.resolve();
  const next = live.next();
  await publish(test.hub, ["b"]);
  const end = await next;
  assert(end.kind === "end");
  assertEquals(end.reason, "unavailable");
  reads.before = null;
  const resumed = await test.hub.subscribe({ tenant: TENANT, start: { cursor: end.cursor }, filter: {} });
  await resumed.next();
  assertEquals(idsOf(await resumed.next()), ["b"]);
  resumed.close();
});

Deno.test("feed: when a purge overtakes the tail, each of those it feeds is told so", async () => {
  const { reads, test: opened } = openWithReads();
  await using test = opened;
  const live = await Promise.all(
    names("s", 2).map(() => {
      return test.hub.subscribe({ tenant: TENANT, start: { at: "latest" }, filter: {} });
    }),
  );
  for (const each of live) await each.next();
  const first = live.map((each) => each.next());
  await publish(test.hub, ["a"]);
  for (const each of first) assertEquals(idsOf(await each), ["a"]);
  const next = live.map((each) => until(each, "reset"));
  const release = Promise.withResolvers<void>();
  reads.before = (tail) => tail ? release.promise : Promise.resolve();
  await publish(test.hub, ["b", "c"]);
  test.clock.advance(1_000);
  await publish(test.hub, ["d"]);
  assertEquals(await test.store.purge(test.clock.now()), 3);
  release.resolve();
  for (const [index, each] of next.entries()) {
    const { message, ids } = await each;
    assertEquals([message.reason, message.mode, ids], ["expired", "skip", []]);
    assertEquals(idsOf(await live[index]!.next()), ["d"]);
    live[index]!.close();
  }
});

Deno.test("feed: a clock that is set back delays neither signs of life nor the end of who does not read", async () => {
  await using test = openTestHub();
  const waiting = await test.hub.subscribe({ tenant: TENANT, start: { at: "latest" }, filter: { userId: "nobody" } });
  const stalled = await test.hub.subscribe({ tenant: TENANT, start: { at: "latest" }, filter: {} });
  await waiting.next();
  await stalled.next();
  const alive = waiting.next();
  test.clock.set(START - HOUR_MS);
  await test.hub.whenSettled();
  test.clock.advance(STREAM_KEEP_ALIVE_MS);
  await test.hub.tick();
  assertEquals((await alive).kind, "position");
  test.clock.set(START - 2 * HOUR_MS);
  test.clock.advance(SUBSCRIBER_STALL_MS);
  await test.hub.tick();
  assertEquals(stalled.ended.reason, "slow_consumer");
  waiting.close();
});

Deno.test("feed: those who come back together read and encode what they missed once", async () => {
  const { reads, test: opened } = openWithReads();
  await using test = opened;
  const [pages, subscribers] = [4, 50];
  const ids = names("e", pages * LOG_PAGE_EVENTS - 10);
  await publish(test.hub, ids);
  const all = await Promise.all(
    names("s", subscribers).map(async () => {
      const subscription = await test.hub.subscribe({ tenant: TENANT, start: { at: "earliest" }, filter: {} });
      await subscription.next();
      return subscription;
    }),
  );
  let encodings = 0;
  for (let page = 0; page < pages; page++) {
    for (const each of all) {
      const message = await each.next();
      assert(message.kind === "events");
      assertEquals(idsOf(message), ids.slice(page * LOG_PAGE_EVENTS, (page + 1) * LOG_PAGE_EVENTS));
      message.batch.encode("test", () => ++encodings);
    }
  }
  assertEquals(reads.walking, pages);
  assertEquals(encodings, pages);
  for (const each of all) each.close();
});

Deno.test("feed: what is shared of the log is forgotten soon, so that an erased event is handed out no more", async () => {
  await using test = openTestHub();
  await publish(test.hub, ["a", "b"], "ann");
  await publish(test.hub, ["c"], "bob");
  const read = async () => {
    const subscription = await test.hub.subscribe({ tenant: TENANT, start: { at: "earliest" }, filter: {} });
    await subscription.next();
    const ids = idsOf(await subscription.next());
    subscription.close();
    return ids;
  };
  assertEquals(await read(), ["a", "b", "c"]);
  await test.store.erase(TENANT, "ann");
  test.clock.advance(LOG_PAGE_SHARED_MS);
  assertEquals(await read(), ["c"]);
});
