/** Live windows where changes go by unheard: what is followed is read anew. */
import { assertEquals } from "@std/assert";
import { AggregateFeed } from "../src/aggregate_feed.ts";
import type { AggregateMessage } from "../src/hub.ts";
import { MemoryStore } from "../src/storage/memory.ts";
import type { ChangedCells } from "../src/stream.ts";
import { clocks } from "../src/worker.ts";
import { event, MINUTE, NOON, TENANT } from "./storage/conformance/events.ts";

Deno.test("aggregate feed: after a gap, the last two windows and the open ones are sent again", async () => {
  const store = new MemoryStore();
  let missed = () => {};
  const stream = {
    watchCells: (listener: (cells: ChangedCells) => void) => {
      missed = () => listener("all");
      return () => {};
    },
  };
  const feed = new AggregateFeed(store, stream, { now: () => NOON + 10_000, elapsed: clocks.elapsed });
  const options = { tenant: TENANT, window: "1m", groupByType: false, eventTypes: null } as const;
  await store.append([event({ timestamp: NOON })]);
  const subscription = await feed.subscribe(options);
  assertEquals(countsIn(await subscription.next()), [[0, 1]]);
  await store.append([0, -MINUTE, MINUTE].map((offset) => event({ timestamp: NOON + offset })));
  missed();
  await feed.tick();
  assertEquals(countsIn(await subscription.next()), [[-MINUTE, 1], [0, 2]]);
  subscription.close();
  feed.close();
  await store[Symbol.asyncDispose]();
});

Deno.test("aggregate feed: after a long gap, every window since the last word is sent", async () => {
  const store = new MemoryStore();
  let missed = () => {};
  const stream = {
    watchCells: (listener: (cells: ChangedCells) => void) => {
      missed = () => listener("all");
      return () => {};
    },
  };
  let now = NOON + 10_000;
  const feed = new AggregateFeed(store, stream, { now: () => now, elapsed: clocks.elapsed });
  await store.append([event({ timestamp: NOON })]);
  const subscription = await feed.subscribe({ tenant: TENANT, window: "1m", groupByType: false, eventTypes: null });
  assertEquals(countsIn(await subscription.next()), [[0, 1]]);
  now += 5 * MINUTE;
  await store.append([0, 1, 2, 3, 4, 5].map((minute) => event({ timestamp: NOON + minute * MINUTE })));
  missed();
  await feed.tick();
  const told = countsIn(await subscription.next());
  assertEquals(told, [[0, 2], ...[1, 2, 3, 4, 5].map((minute) => [minute * MINUTE, 1])]);
  now += 100_000 * MINUTE;
  missed();
  await feed.tick();
  assertEquals(feed.size, 1, "a gap of weeks must not end who follows");
  subscription.close();
  feed.close();
  await store[Symbol.asyncDispose]();
});

function countsIn(message: AggregateMessage): number[][] {
  return message.kind === "rows" ? message.rows.map(({ start, count }) => [start - NOON, count]) : [];
}
