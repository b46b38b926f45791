/** The Redis stream where it goes back to the store, and what people and other programs see in it. */
import { assert, assertEquals, AssertionError, assertRejects } from "@std/assert";
import { RedisStream } from "../../src/stream/redis.ts";
import { millisecondsOf } from "../../src/stream/redis_position.ts";
import type { RedisServer } from "../services/redis.ts";
import { event, events, idsOf, NOON, TENANT } from "../storage/conformance/events.ts";
import { idsIn, placeAt, readAll } from "./conformance/reading.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK } from "./redis.ts";
import { openParts, produce, Reader, redisTest, until, whenCounted } from "./redis_hub.ts";

/** A stream alone, beside a store whose appends are published when they resolve. */
async function openStream(server: RedisServer, source = new FakeStore()) {
  const stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  return {
    source,
    stream,
    store: async (all: ReturnType<typeof events>) => {
      await source.append(all);
      await stream.whenPublished();
    },
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
}

/** Trims the stream behind a reader's back; what lay between must come from the store. */
async function trimBehindReader(server: RedisServer, source = new FakeStore()): Promise<void> {
  await using parts = await openStream(server, source);
  const { stream, store } = parts;
  const all = events(60);
  for (let i = 0; i < all.length; i += 10) await store(all.slice(i, i + 10));
  const head = await stream.head();
  const more = events(20);
  await store(more);
  const [tenth] = (await server.send("XRANGE", "events", "-", "+", "COUNT", 10) as readonly [string][]).at(9)!;
  const behindTenth = head.replace(/\.3\..*/, `.3.${pad(tenth)}`);
  await server.send("XTRIM", "events", "MAXLEN", 5);
  for (const place of [behindTenth, head]) {
    const opened = await stream.open(TENANT, { cursor: stream.cursor(TENANT, place) });
    assertEquals(opened.reset, { reason: "trimmed", mode: "replay" });
  }
  const page = await stream.read({ after: behindTenth, limit: 1_000 });
  assertEquals(page.reset, { reason: "trimmed", mode: "replay" });
  const rest = page.caughtUp ? [] : await readAll(stream, { after: page.position });
  const replayed = new Set([...idsIn(page.entries), ...idsIn(rest)]);
  assert([...all.slice(10), ...more].every(({ id }) => replayed.has(id)), "something is missing");
}

redisTest("what was trimmed is replayed from the store, announced, and none is missed", (server) => {
  return trimBehindReader(server);
});

redisTest("control: a store that replays nothing is noticed", async (server) => {
  const source = new FakeStore();
  source.published = ({ after }) => Promise.resolve({ entries: [], place: after, caughtUp: true });
  await assertRejects(() => trimBehindReader(server, source), AssertionError, "something is missing");
});

redisTest("a place that is trimmed and purged skips to the oldest event kept, in the store", async (server) => {
  await using parts = await openStream(server);
  const { source, stream, store } = parts;
  const head = await stream.head();
  await store(events(5, () => ({ receivedAt: 1, timestamp: 1 })));
  const kept = events(20);
  for (const one of kept) await store([one]);
  assertEquals(await source.purge(2), 5);
  await server.send("XTRIM", "events", "MAXLEN", 5);
  const opened = await stream.open(TENANT, { cursor: stream.cursor(TENANT, head) });
  assertEquals(opened.reset, { reason: "expired", mode: "skip" });
  assertEquals(idsIn(await readAll(stream, { after: opened.position, limit: 3 })), idsOf(kept));
  const page = await stream.read({ after: head, limit: 100 });
  assertEquals([page.reset, page.entries], [{ reason: "expired", mode: "skip" }, []]);
  assertEquals(idsIn(await readAll(stream, { after: page.position })), idsOf(kept));
  // The same in a later epoch.
  await server.flushAll();
  const later = await stream.open(TENANT, { cursor: stream.cursor(TENANT, head) });
  assertEquals(later.reset, { reason: "expired", mode: "skip" });
  assertEquals(idsIn(await readAll(stream, { after: later.position })), idsOf(kept));
});

redisTest("the entries of an erased user leave the stream, those of others stay", async (server) => {
  await using parts = await openStream(server);
  const { source, stream, store } = parts;
  const after = await stream.head();
  const all = events(3_000, (i) => ({ userId: i % 3 === 0 ? "bob" : "ann", tenant: i % 2 === 0 ? TENANT : "other" }));
  await store(all);
  const ofAnn = all.filter(({ userId, tenant }) => userId === "ann" && tenant === TENANT);
  await source.erase(TENANT, "ann");
  assertEquals(await stream.forget(TENANT, "ann"), ofAnn.length);
  assertEquals(await server.send("XLEN", "events"), all.length - ofAnn.length);
  const { reset } = await stream.open(TENANT, { cursor: stream.cursor(TENANT, after) });
  assertEquals(reset, null, "an erasure looks like a loss");
  assertEquals(idsIn(await readAll(stream, { after })), idsOf(all.filter((one) => !ofAnn.includes(one))));
});

redisTest("erasing the first entries is no trimming, and trimming behind them is one", async (server) => {
  await using parts = await openStream(server);
  const { source, stream, store } = parts;
  const before = stream.cursor(TENANT, await stream.head());
  await store(events(10, () => ({ userId: "ann" })));
  const middle = stream.cursor(TENANT, await stream.head());
  await store(events(10));
  const resetOf = async (cursor: string) => (await stream.open(TENANT, { cursor })).reset;
  await source.erase(TENANT, "ann");
  assertEquals(await stream.forget(TENANT, "ann"), 10);
  assertEquals([await resetOf(before), await resetOf(middle)], [null, null]);
  await server.send("XTRIM", "events", "MAXLEN", 3);
  const trimmed = { reason: "trimmed", mode: "replay" } as const;
  assertEquals([await resetOf(before), await resetOf(middle)], [trimmed, trimmed]);
  const end = stream.cursor(TENANT, await stream.head());
  // Neither more events nor another erasure make it forgotten.
  await store(events(10, () => ({ userId: "bob" })));
  await source.erase(TENANT, "bob");
  assertEquals(await stream.forget(TENANT, "bob"), 10);
  assertEquals([await resetOf(before), await resetOf(middle), await resetOf(end)], [trimmed, trimmed, null]);
  // Nothing is left, and the end is where it was.
  await server.send("XTRIM", "events", "MAXLEN", 0);
  assertEquals([await resetOf(middle), await resetOf(stream.cursor(TENANT, await stream.head()))], [trimmed, null]);
});

redisTest("a stream that was deleted and made anew is another one, and nobody misses what it held", async (server) => {
  await using parts = await openStream(server);
  const { stream, store } = parts;
  const cursor = stream.cursor(TENANT, await stream.head());
  const [lost, later] = [events(5), events(5)];
  await store(lost);
  await server.send("DEL", "events");
  await store(later);
  const { position, reset } = await stream.open(TENANT, { cursor });
  assertEquals(reset, { reason: "epoch", mode: "replay" });
  assertEquals(idsIn(await readAll(stream, { after: position })), idsOf([...lost, ...later]));
});

redisTest(
  "where the notes of the stream are gone it is another epoch: nobody knows what was trimmed",
  async (server) => {
    for (const key of ["events:floor", "events:epoch"]) {
      await server.flushAll();
      const source = new FakeStore();
      await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
      const cursor = stream.cursor(TENANT, await stream.head());
      const [before, after] = [events(20), events(5)];
      await source.append(before);
      await stream.whenPublished();
      await server.send("XTRIM", "events", "MAXLEN", 5);
      await server.send("DEL", key);
      await source.append(after);
      await stream.whenPublished();
      const { position, reset } = await stream.open(TENANT, { cursor });
      assertEquals(reset, { reason: "epoch", mode: "replay" });
      assertEquals(idsIn(await readAll(stream, { after: position })), idsOf([...before, ...after]));
    }
  },
);

redisTest("the bound of the stream, and nothing else, trims it: what it took is told", async (server) => {
  const source = new FakeStore();
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK, entriesMax: 200 });
  const cursor = stream.cursor(TENANT, await stream.head());
  const all = events(600);
  for (let i = 0; i < all.length; i += 100) await source.append(all.slice(i, i + 100));
  await stream.whenPublished();
  const { position, reset } = await stream.open(TENANT, { cursor });
  assertEquals(reset, { reason: "trimmed", mode: "replay" });
  assertEquals(idsIn(await readAll(stream, { after: position })), idsOf(all));
});

redisTest("a new reader of an untouched stream is not told of a reset when the first event comes", async (server) => {
  await using parts = await openStream(server);
  const { stream, store } = parts;
  const cursor = stream.cursor(TENANT, await stream.head());
  await store(events(3));
  const { reset } = await stream.open(TENANT, { cursor });
  assertEquals(reset, null);
});

redisTest("a replay goes on by cursor from each of its places, also within one time of publication", async (server) => {
  const source = new FakeStore();
  source.tied = true;
  await using parts = await openStream(server, source);
  const { stream, store } = parts;
  await store(events(20));
  await store(events(20));
  // Behind the loss all of it is read from the store.
  await server.flushAll();
  const earliest = await placeAt(stream, "earliest");
  const whole = await readAll(stream, { after: earliest, limit: 3 });
  assertEquals(idsIn(whole), [...source.documents.values()].map(({ event }) => event.id));
  for (const [i, { position }] of whole.entries()) {
    const opened = await stream.open(TENANT, { cursor: stream.cursor(TENANT, position) });
    assertEquals(opened, { position, reset: null });
    assertEquals(idsIn(await readAll(stream, { after: position, limit: 7 })), idsIn(whole.slice(i + 1)));
  }
});

redisTest("earliest under load gives every event, and what the stream gives too only once", async (server) => {
  await using parts = await openParts(server.url, { ageMs: 60_000 });
  const { source, stream } = parts;
  const load = produce(source);
  await until("there is something to replay", () => source.documents.size > 200);
  const { position } = await stream.open(TENANT, { at: "earliest" });
  await until("more was stored since", () => source.documents.size > 600);
  await using reader = new Reader(stream, stream.cursor(TENANT, position));
  await until("the reader is live", () => reader.ids.length > 700);
  const all = await load.stop();
  await reader.whenSeen(all);
  assertEquals(reader.resets, []);
  assertEquals(reader.ids.length, new Set(reader.ids).size, "events came again and nobody said so");
  await whenCounted(source);
});

redisTest("a store whose clock is wrong follows that of Redis: pub lies within 20 s of each entry", async (server) => {
  for (const skewMs of [-3_600_000, 60_000]) {
    const source = new FakeStore();
    source.skewMs = skewMs;
    await using parts = await openStream(server, source);
    await server.flushAll();
    const all = events(30);
    await parts.store(all);
    const entries = await server.send("XRANGE", "events", "-", "+") as readonly [string, string[]][];
    assertEquals(entries.length, 30);
    for (const [id, fields] of entries) {
      const of = Object.fromEntries(
        Array.from({ length: fields.length / 2 }, (_, i) => fields.slice(2 * i, 2 * i + 2)),
      );
      assert(Math.abs(Number(of.pub) - millisecondsOf(id)) <= 20_000);
      assertEquals(source.documents.get(`${of.tenant}:${of.event_id}`)!.pub, Number(of.pub));
    }
  }
});

redisTest("entries show people their events, and those of other programs are skipped", async (server) => {
  await using parts = await openStream(server);
  const { stream, store } = parts;
  const after = await stream.head();
  const prototype = ["event_id", "1", "user_id", "u", "event_type", "purchase", "amount", "1.5"];
  await server.send("XADD", "events", "*", ...prototype, "timestamp", "2025-07-15T12:34:56.123456");
  await server.send("XADD", "events", "*", "anything", "else");
  const one = event({ id: "one", amount: 125_000, timestamp: NOON, properties: '{"a":"é"}' });
  await store([one]);
  await server.send("XADD", "events", "*", ...prototype);
  const page = await stream.read({ after, limit: 2, tenant: TENANT });
  assertEquals([page.entries, page.caughtUp], [[], false]);
  assertEquals(idsIn(await readAll(stream, { after, limit: 2 })), idsOf([one]));
  const entries = await server.send("XRANGE", "events", "-", "+") as readonly [string, string[]][];
  const shown = ["event_id", "one", "user_id", "user-1", "event_type", "purchase", "amount", "12.5"];
  assertEquals(entries[2]![1].slice(0, 14), [
    ...shown,
    "timestamp",
    "2026-01-15T12:00:00.000Z",
    ...["tenant", "default", "received_at", new Date(one.receivedAt).toISOString()],
  ]);
});

redisTest("the stream is bounded", async (server) => {
  const source = new FakeStore();
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK, entriesMax: 1_000 });
  for (let i = 0; i < 10; i++) await source.append(events(512));
  await stream.whenPublished();
  const length = Number(await server.send("XLEN", "events"));
  assert(length >= 1_000 && length < 1_200, `${length} entries are kept`);
});

function pad(id: string): string {
  return id.split("-").map((part) => part.padStart(20, "0")).join("-");
}
