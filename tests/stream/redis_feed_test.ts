/** The live feed over the Redis stream: subscribers are told of losses and miss nothing. */
import { assert, assertEquals } from "@std/assert";
import { Feed, type LiveSubscription } from "../../src/feed.ts";
import type { Event } from "../../src/event.ts";
import { RedisStream } from "../../src/stream/redis.ts";
import { clocks } from "../../src/worker.ts";
import { events, TENANT } from "../storage/conformance/events.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK } from "./redis.ts";
import { produce, redisTest, until } from "./redis_hub.ts";

/** Takes messages until every one of these events was among them, and one of each kind asked for. */
async function take(
  subscription: LiveSubscription,
  seen: Set<string>,
  wanted: () => readonly Event[],
): Promise<string[]> {
  const kinds: string[] = [];
  while (!wanted().every(({ id }) => seen.has(id))) {
    const message = await subscription.next();
    kinds.push(message.kind === "reset" ? `reset ${message.reason} ${message.mode}` : message.kind);
    if (message.kind === "end") break;
    if (message.kind === "events") { for (const { event } of message.batch.events) seen.add(event.id); }
  }
  return kinds;
}

redisTest("a subscriber that falls behind a trimmed stream is told so and gets everything", async (server) => {
  const source = new FakeStore();
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK, entriesMax: 200 });
  const feed = new Feed(stream, clocks);
  const start = { tenant: TENANT, start: { at: "latest" }, filter: {} } as const;
  const [slow, quick] = [await feed.subscribe(start), await feed.subscribe(start)];
  const first = events(5);
  await source.append(first);
  const seen = new Set<string>();
  await take(slow, seen, () => first);
  const all: Event[] = [];
  for (let i = 0; i < 20; i++) {
    const batch = events(250);
    await source.append(batch);
    all.push(...batch);
  }
  await stream.whenPublished();
  const kinds = await take(slow, seen, () => all);
  assert(kinds.includes("reset trimmed replay"), kinds.join(", "));
  assert(!kinds.includes("end"), "the subscription ended");
  await take(quick, new Set(), () => all);
  // Both are live again, and are fed by one tail.
  const last = events(3);
  await source.append(last);
  assertEquals((await take(slow, seen, () => last)).at(-1), "events");
  feed.close();
});

redisTest("subscribers of a stream that is emptied under load go on by themselves", async (server) => {
  const source = new FakeStore();
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  const feed = new Feed(stream, clocks);
  const subscription = await feed.subscribe({ tenant: TENANT, start: { at: "latest" }, filter: {} });
  const seen = new Set<string>();
  const load = produce(source);
  let all: readonly Event[] | null = null;
  const dummy = events(1);
  const taking = take(subscription, seen, () => all ?? dummy);
  await until("events arrive", () => seen.size > 100);
  await server.flushAll();
  const before = seen.size;
  await until("events arrive again", () => seen.size > before + 200);
  all = [...await load.stop(), ...events(1)];
  await source.append(all.slice(-1));
  const kinds = await taking;
  assert(kinds.includes("reset epoch replay"), kinds.join(", "));
  assert(all.every(({ id }) => seen.has(id)));
  feed.close();
});
