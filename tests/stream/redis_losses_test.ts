/** Losses of Redis that come twice, take only a part, or meet clocks that differ: no reader misses anything. */
import { assertEquals } from "@std/assert";
import type { Event } from "../../src/event.ts";
import { RedisStream, type RedisStreamOptions } from "../../src/stream/redis.ts";
import { toFields } from "../../src/stream/redis_entry.ts";
import { formatPosition, parsePosition } from "../../src/stream/redis_position.ts";
import type { EventStream, Position } from "../../src/stream.ts";
import type { RedisServer } from "../services/redis.ts";
import { events, idsOf, TENANT } from "../storage/conformance/events.ts";
import { idsIn, readAll } from "./conformance/reading.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK } from "./redis.ts";
import { ageEpoch, redisTest } from "./redis_hub.ts";

const EPOCH = { reason: "epoch", mode: "replay" } as const;

/** A stream alone, beside a store whose appends are published when they resolve, and readers by cursor. */
async function openStream(server: RedisServer, options: Partial<RedisStreamOptions> & { source?: FakeStore } = {}) {
  const source = options.source ?? new FakeStore();
  const stream = await RedisStream.open({ url: server.url, ...QUICK, ...options, source });
  return {
    source,
    stream,
    store: async (all: readonly Event[]) => {
      await source.append(all);
      await stream.whenPublished();
    },
    leave: async () => stream.cursor(TENANT, await stream.head()),
    /** What a reader is told at its return, and all it is given then. */
    resume: async (cursor: string) => {
      const { position, reset } = await stream.open(TENANT, { cursor });
      return { reset, ids: idsIn(await readAll(stream, { after: position })) };
    },
    [Symbol.asyncDispose]: () => stream[Symbol.asyncDispose](),
  };
}

/** The first place at which a replay closes in on the place where it goes on. Nothing may come before. */
async function closing(stream: EventStream, from: Position): Promise<Position> {
  for (let after = from;;) {
    const page = await stream.read({ after, limit: 100, tenant: TENANT });
    assertEquals(page.entries, []);
    after = page.position;
    if (parsePosition(after).phase === "closing") return after;
  }
}

for (
  const [how, lose] of [
    ["emptied", (server: RedisServer) => server.flushAll()],
    ["set back to a snapshot", (server: RedisServer) => server.restart("saved")],
  ] as const
) {
  redisTest(`${how} twice, a replay does not take what the first life brought for what is to come`, async (server) => {
    await using parts = await openStream(server);
    const { stream, store } = parts;
    const [kept, lost] = [events(5), events(7)];
    await store(kept);
    await server.save();
    const cursor = await parts.leave();
    await lose(server);
    const opened = await stream.open(TENANT, { cursor });
    assertEquals(opened.reset, EPOCH);
    const position = await closing(stream, opened.position);
    // These lie behind the place where the replay goes on, which is the same after the second loss.
    await store(lost);
    const first = idsIn(await readAll(stream, { after: position, tenant: TENANT }));
    assertEquals(first.toSorted(), idsOf([...kept, ...lost]).toSorted());
    await lose(server);
    const second = await parts.resume(cursor);
    assertEquals([second.reset, second.ids.toSorted()], [EPOCH, idsOf([...kept, ...lost]).toSorted()]);
  });
}

for (
  const [what, ...command] of [
    ["the stream is deleted", "DEL", "events"],
    ["the stream is named otherwise", "RENAME", "events", "elsewhere"],
    ["the stream goes with the notes on it", "DEL", "events", "events:floor"],
    ["the notes on the stream go", "DEL", "events:floor"],
    ["the marker goes", "DEL", "events:epoch"],
  ] as const
) {
  redisTest(`${what}: it is another epoch, and nobody misses what was there`, async (server) => {
    await using parts = await openStream(server);
    const cursor = await parts.leave();
    const [lost, later] = [events(5), events(2)];
    await parts.store(lost);
    const [name, ...args] = command;
    await server.send(name, ...args);
    // A group that counts makes an empty stream when it finds none.
    await server.send("XGROUP", "CREATE", "events", "a-group", "0", "MKSTREAM");
    await parts.store(later);
    const { reset, ids } = await parts.resume(cursor);
    assertEquals([reset, ids.toSorted()], [EPOCH, idsOf([...lost, ...later]).toSorted()]);
    assertEquals((await parts.source.epochs()).length, 2);
  });
}

redisTest(
  "a stream that is deleted before anything was published in its epoch is no cursor from the future",
  async (server) => {
    const source = new FakeStore();
    source.at = Date.now() - 3_600_000;
    await source.append(events(20));
    source.at = null;
    await server.send("XADD", "events", "*", "anything", "else");
    await using parts = await openStream(server, { source });
    const cursor = await parts.leave();
    await server.send("DEL", "events");
    assertEquals(await parts.resume(cursor), { reset: EPOCH, ids: [] });
  },
);

redisTest(
  "who waits at the start of an empty stream is not given the whole store when Redis starts again",
  async (server) => {
    const source = new FakeStore();
    source.at = Date.now() - 3_600_000;
    await source.append(events(2_000));
    source.at = null;
    await using parts = await openStream(server, { source });
    const cursor = await parts.leave();
    await server.restart("empty");
    assertEquals(await parts.resume(cursor), { reset: EPOCH, ids: [] });
    // Neither is it called purged what a purge took that the reader had.
    const waiting = await parts.leave();
    await server.restart("empty");
    const kept = events(5, () => ({ receivedAt: Date.now() }));
    await parts.store(kept);
    await source.purge(Date.now() - 1_800_000);
    assertEquals(await parts.resume(waiting), { reset: EPOCH, ids: idsOf(kept) });
  },
);

for (const skewMs of [-60_000, 60_000]) {
  redisTest(
    `the clock of the store is off by ${skewMs} ms: what an emptied Redis lost is given back`,
    async (server) => {
      const source = new FakeStore();
      source.skewMs = skewMs;
      await using parts = await openStream(server, { source });
      const cursor = await parts.leave();
      const now = () => ({ receivedAt: source.now() });
      const [lost, later] = [events(5, now), events(5, now)];
      await parts.store(lost);
      await server.flushAll();
      await parts.store(later);
      const { reset, ids } = await parts.resume(cursor);
      assertEquals([reset, ids.toSorted()], [EPOCH, idsOf([...lost, ...later]).toSorted()]);
      // A time of receipt leads to all of it too, wherever their times of publication were moved.
      const { position } = await parts.stream.open(TENANT, { receivedAt: lost[0]!.receivedAt });
      assertEquals(idsIn(await readAll(parts.stream, { after: position })).toSorted(), ids.toSorted());
    },
  );
}

redisTest("a Redis whose clock was ahead for a while is emptied: what it lost is given back", async (server) => {
  await using parts = await openStream(server);
  await server.send("XADD", "events", `${Date.now() + 3_600_000}-0`, "anything", "else");
  const cursor = await parts.leave();
  const [lost, later] = [events(5), events(5)];
  await parts.store(lost);
  await server.restart("empty");
  await parts.store(later);
  const { reset, ids } = await parts.resume(cursor);
  assertEquals([reset, ids.toSorted()], [EPOCH, idsOf([...lost, ...later]).toSorted()]);
});

redisTest(
  "the Redis that comes next is a minute behind: what it held before a reader came is given",
  async (server) => {
    const source = new FakeStore();
    source.skewMs = 60_000;
    await using parts = await openStream(server, { source });
    await server.send("XADD", "events", `${Date.now() + 60_000}-0`, "anything", "else");
    const cursor = await parts.leave();
    await server.restart("empty");
    const later = events(5);
    await parts.store(later);
    assertEquals(await parts.resume(cursor), { reset: EPOCH, ids: idsOf(later) });
  },
);

redisTest("a loss in the middle of a replay gives back what the replay left to the stream", async (server) => {
  const source = new FakeStore();
  const now = Date.now();
  const [startedAt, lostUntil, head] = [now - 600_000, now - 60_000, now - 40_000];
  await ageEpoch(server, source, { startedAt, lostUntil });
  // Right behind H: one that waited for 18 s, and later ones.
  const all: Event[] = [];
  for (
    const [id, pub] of [[head, head], [head + 1, head - 18_000], [head + 15_000, head + 15_000], [now, now - 20_000]]
  ) {
    const [one] = events(1) as [Event];
    source.at = pub!;
    await source.append([one]);
    source.at = null;
    all.push(one);
    const stored = source.documents.get(`${one.tenant}:${one.id}`)!;
    await server.send("XADD", "events", `${id}-0`, ...toFields(stored));
  }
  await using parts = await openStream(server, { source });
  const { epoch } = parsePosition(await parts.stream.head());
  const at = { pub: head - 100_000, pend: "" };
  let position = formatPosition({ phase: "closing", epoch, at, head: `${head}-0`, told: true });
  const given: string[] = [];
  for (let i = 0; i < 3; i++) {
    const page = await parts.stream.read({ after: position, limit: 1, tenant: TENANT });
    given.push(...idsIn(page.entries));
    position = page.position;
  }
  assertEquals([given, parsePosition(position).phase], [[all[0]!.id], "closing"]);
  await server.flushAll();
  const { reset, ids } = await parts.resume(parts.stream.cursor(TENANT, position));
  assertEquals([reset, ids.toSorted()], [EPOCH, idsOf(all).toSorted()]);
});
