/** Consumer groups on a real Redis: nothing given to a consumer that dies is lost, and a group that is gone comes again. */
import { assert, assertEquals } from "@std/assert";
import { addCells } from "../../src/stream/redis_cells.ts";
import { RedisConnection } from "../../src/stream/redis_connection.ts";
import { GroupWorker } from "../../src/stream/redis_group.ts";
import { groupsOf } from "../../src/stream/redis_groups.ts";
import { rollupWorker } from "../../src/stream/redis_rollup.ts";
import { RedisStream } from "../../src/stream/redis.ts";
import { SweepWorker } from "../../src/stream/redis_sweep.ts";
import { RedisKeys } from "../../src/stream/redis_scripts.ts";
import { events, TENANT } from "../storage/conformance/events.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK, QUICK_GROUP, running } from "./redis.ts";
import { openParts, redisTest, until, whenCounted } from "./redis_hub.ts";

const GROUP = ["events", "rollup"] as const;

redisTest("a group that is destroyed is made again from the start, and counts nothing twice", async (server) => {
  await using parts = await openParts(server.url, { ageMs: 60_000 });
  const { source } = parts;
  for (let round = 0; round < 4; round++) {
    await source.append(events(50));
    await whenCounted(source);
    if (round % 2 === 0) await server.send("XGROUP", "DESTROY", ...GROUP);
    else await server.send("DEL", "events");
  }
  await source.append(events(50));
  await whenCounted(source);
});

redisTest("what a dead consumer was given is taken over, and its name is removed", async (server) => {
  const source = new FakeStore();
  await server.send("XGROUP", "CREATE", ...GROUP, "0", "MKSTREAM");
  {
    await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
    await source.append(events(30));
    await stream.whenPublished();
  }
  await server.send("SET", "events:slot:rollup:1", "somebody", "PX", 100_000);
  await server.send("XREADGROUP", "GROUP", "rollup", "hub-1", "COUNT", 20, "STREAMS", "events", ">");
  await using _parts = await openParts(server.url, { source, ageMs: 60_000 });
  await whenCounted(source);
  assertEquals(await server.send("EXISTS", "events:slot:rollup:2"), 1);
  await server.send("DEL", "events:slot:rollup:1");
  await until("hub-1 is gone", async () => {
    const consumers = await server.send("XINFO", "CONSUMERS", ...GROUP) as readonly string[][];
    return consumers.every((consumer) => consumer[1] !== "hub-1");
  });
  assertEquals((await server.send("XPENDING", ...GROUP) as readonly number[])[0], 0);
});

redisTest(
  "own entries come first, what the handler keeps comes again, and trimmed entries are an alarm",
  async (server) => {
    const ids: string[] = [];
    for (let i = 0; i < 6; i++) ids.push(String(await server.send("XADD", "own", "*", "a", i)));
    await server.send("XGROUP", "CREATE", "own", "g", "0");
    await server.send("XREADGROUP", "GROUP", "g", "hub-1", "COUNT", 2, "STREAMS", "own", ">");
    await server.send("XREADGROUP", "GROUP", "g", "dead", "COUNT", 2, "STREAMS", "own", ">");
    await server.send("XDEL", "own", ids[0]!, ids[2]!);
    const given: string[] = [];
    const group = {
      url: server.url,
      group: "g",
      stream: () => "own",
      entriesMax: 10,
      claimIdleMs: 20,
      claimEveryMs: 20,
    };
    const worker = new GroupWorker({ ...group, blockMs: 50 }, (entries) => {
      given.push(...entries.map(({ id }) => id));
      // The last one is kept twice.
      const isKept = given.filter((id) => id === ids[5]).length <= 2;
      return Promise.resolve(entries.map(({ id }) => id).filter((id) => id !== ids[5] || !isKept));
    });
    await using _running = running(worker);
    await until("all are acknowledged", async () => {
      const [pending] = await server.send("XPENDING", "own", "g") as readonly number[];
      return pending === 0 && given.includes(ids[5]!);
    });
    assertEquals(given[0], ids[1], "its own did not come first");
    assertEquals(new Set(given), new Set([ids[1], ids[3], ids[4], ids[5]]));
    assertEquals(given.filter((id) => id === ids[5]).length, 3);
    assertEquals(worker.lost, 2);
  },
);

redisTest(
  "a stream that was trimmed past the group is noticed, and what it was not given is counted",
  async (server) => {
    const source = new FakeStore();
    await server.send("XGROUP", "CREATE", ...GROUP, "0", "MKSTREAM");
    {
      await using stream = await RedisStream.open({ url: server.url, source, ...QUICK, entriesMax: 200 });
      for (let i = 0; i < 10; i++) await source.append(events(100));
      await stream.whenPublished();
    }
    const worker = rollupWorker({ url: server.url, source, ...QUICK_GROUP, ageMs: 60_000 });
    await using _running = running(worker);
    await until(
      "the rest is counted",
      () => [...source.documents.values()].filter(({ pending }) => !pending).length >= 200,
    );
    assertEquals([worker.overruns, worker.lost], [1, 0]);
    await using _sweeping = running(
      new SweepWorker({ url: server.url, source, everyMs: 20, ageMs: 0, entriesMax: 200 }),
    );
    await whenCounted(source);
    assertEquals(worker.overruns, 1);
  },
);

redisTest("of large entries fewer are read at once", async (server) => {
  const text = "x".repeat(16_000);
  for (let i = 0; i < 2_000; i++) await server.send("XADD", "own", "*", "text", text);
  const given: number[] = [];
  const group = { url: server.url, group: "g", stream: () => "own", entriesMax: 10_000, blockMs: 50 };
  const worker = new GroupWorker(group, (entries) => {
    given.push(entries.length);
    return Promise.resolve(entries.map(({ id }) => id));
  });
  await using _running = running(worker);
  await until("all are given", () => given.reduce((sum, count) => sum + count, 0) === 2_000);
  assert(given.every((count) => count * text.length <= 9 * 1024 * 1024), `${given} were read at once`);
  assert(given.length <= 6, `${given} were read at once`);
});

redisTest("of large entries fewer are taken over at once", async (server) => {
  const text = "x".repeat(64_000);
  for (let i = 0; i < 600; i++) await server.send("XADD", "own", "*", "text", text);
  await server.send("XGROUP", "CREATE", "own", "g", "0");
  await server.send(
    "EVAL",
    "return #redis.call('XREADGROUP', 'GROUP', 'g', 'dead', 'COUNT', 600, 'STREAMS', 'own', '>')[1][2]",
    1,
    "own",
  );
  const given: number[] = [];
  const times = { blockMs: 50, claimIdleMs: 0 };
  const worker = new GroupWorker(
    { url: server.url, group: "g", stream: () => "own", entriesMax: 10_000, ...times },
    (entries) => {
      given.push(entries.length);
      return Promise.resolve(entries.map(({ id }) => id));
    },
  );
  await using _running = running(worker);
  await until("all are given", () => given.reduce((sum, count) => sum + count, 0) === 600);
  // The first time nothing is known of how large they are.
  assert(given[0]! < 600, `${given} were taken over at once`);
  assert(given.slice(1).every((count) => count * text.length <= 9 * 1024 * 1024), `${given} were taken over at once`);
});

redisTest("a stream that was trimmed of what the group was given, and of nothing else, is no alarm", async (server) => {
  const source = new FakeStore();
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  const options = { url: server.url, source, ...QUICK_GROUP, ageMs: 60_000 };
  const store = async (count: number) => {
    await source.append(events(count));
    await stream.whenPublished();
  };
  {
    await using _running = running(rollupWorker(options));
    await store(5);
    await whenCounted(source);
  }
  await store(5);
  await server.send("XTRIM", "events", "MAXLEN", 5);
  // With it the first entry that is left is noted.
  await store(1);
  const worker = rollupWorker(options);
  await using _running = running(worker);
  await whenCounted(source);
  assertEquals([worker.overruns, worker.lost], [0, 0]);
});

redisTest(
  "what was trimmed before anybody was given it is an alarm, told once, and the lag is right",
  async (server) => {
    const ids: unknown[] = [];
    const add = async (count: number) => {
      for (let i = 0; i < count; i++) ids.push(await server.send("XADD", "own", "*", "a", i));
    };
    // As the publisher notes it.
    const trim = async (length: number) => {
      await server.send("XTRIM", "own", "MAXLEN", length);
      await server.send("HSET", "events:floor", "floor", String(ids.at(-Math.max(1, length))));
    };
    await add(10);
    await server.send("XGROUP", "CREATE", "own", "g", "0");
    await server.send("XREADGROUP", "GROUP", "g", "hub-1", "COUNT", 3, "STREAMS", "own", ">");
    await trim(4);
    let given = 0;
    const options = { url: server.url, group: "g", stream: () => "own", isTrimmed: true, entriesMax: 2, blockMs: 50 };
    const workers = [1, 2].map(() =>
      new GroupWorker(options, (entries) => {
        given += entries.length;
        return Promise.resolve(entries.map(({ id }) => id));
      })
    );
    await using first = running(workers[0]!);
    await using _second = running(workers[1]!);
    // Three were given before and are gone too.
    const lost = () => workers.reduce((sum, worker) => sum + worker.lost, 0);
    await until("what is left is given", () => given === 4 && lost() === 3 + 3);
    await using connection = new RedisConnection(server.url, { name: "test" });
    const lag = async () => (await groupsOf(connection, "own"))[0]!.lag;
    await until("nothing waits", async () => await lag() === 0);

    await first[Symbol.asyncDispose]();
    await _second[Symbol.asyncDispose]();
    await add(5);
    await trim(0);
    await using _third = running(workers[0]!);
    await until("an empty stream tells it too", () => lost() === 6 + 5);
    await add(2);
    await until("it goes on", () => given === 6);
    assertEquals(lost(), 11);
  },
);

redisTest("two workers share the work under names of their own, and a name is free again", async (server) => {
  const names = async () => Number(await server.send("EXISTS", "events:slot:rollup:1", "events:slot:rollup:2"));
  await using parts = await openParts(server.url, { ageMs: 60_000 });
  const { source } = parts;
  {
    await using _second = running(rollupWorker({ url: server.url, source, blockMs: 50, passMs: 10 }));
    await until("both have a name", async () => await names() === 2);
    for (let i = 0; i < 20; i++) await source.append(events(20));
    await whenCounted(source);
  }
  await until("a name is free", async () => await names() === 1);
});

redisTest("while the group lags, what was swept is not published again; what the stream lost is", async (server) => {
  const source = new FakeStore();
  await server.send("XGROUP", "CREATE", ...GROUP, "0", "MKSTREAM");
  await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
  await source.append(events(30));
  await stream.whenPublished();
  const sweep = { url: server.url, source, everyMs: 20, ageMs: 0 };
  const all = () => [...source.documents.values()];
  {
    await using _sweeping = running(new SweepWorker(sweep));
    await until("everything is swept", () => all().every(({ pending, unpub }) => !pending && unpub));
    await server.send("XADD", "events", "*", "not", "ours");
  }
  {
    await using _rollup = running(rollupWorker({ url: server.url, source, ageMs: 0, ...QUICK_GROUP }));
    await whenCounted(source);
  }
  assertEquals(await server.send("XLEN", "events"), 31);
  await server.flushAll();
  const lost = events(5);
  await source.append(lost);
  await stream.whenPublished();
  await server.send("DEL", "events");
  await using _sweeping = running(new SweepWorker(sweep));
  await whenCounted(source);
  assertEquals(await server.send("XLEN", "events"), 5);
});

redisTest(
  "what the sweep counted while it waited for Redis is not published again when the group counts it",
  async (server) => {
    const source = new FakeStore();
    await server.send("XGROUP", "CREATE", ...GROUP, "0", "MKSTREAM");
    await using stream = await RedisStream.open({ url: server.url, source, ...QUICK });
    const then = Date.now() - 45_000;
    source.at = then;
    await source.append(events(30, () => ({ receivedAt: then })));
    source.at = null;
    await stream.whenPublished();
    const all = () => [...source.documents.values()];
    assert(all().every(({ pub }) => pub > then), "the clock of Redis was not followed");
    {
      await using _sweeping = running(new SweepWorker({ url: server.url, source, everyMs: 20, ageMs: 0 }));
      await until("everything is swept", () => all().every(({ pending, unpub }) => !pending && unpub));
    }
    await using _rollup = running(rollupWorker({ url: server.url, source, ...QUICK_GROUP }));
    await whenCounted(source);
    assertEquals(await server.send("XLEN", "events"), 30);
  },
);

redisTest("what retention has purged leaves the stream", async (server) => {
  await server.send("XADD", "events", "1000-0", "an", "old one");
  await using parts = await openParts(server.url, { ageMs: 60_000 });
  const { source, stream } = parts;
  const kept = events(5);
  await source.append([...events(5, () => ({ receivedAt: 1, timestamp: 1 })), ...kept]);
  await stream.whenPublished();
  await source.purge(2);
  await until("the old entry is gone", async () => await server.send("XLEN", "events") === 10);
});

redisTest("entries that name nothing the store knows are acknowledged", async (server) => {
  await using parts = await openParts(server.url, { ageMs: 60_000 });
  await parts.source.append(events(3));
  await whenCounted(parts.source);
  const fields = ["event_id", "x", "user_id", "u", "event_type", "purchase", "amount", "1"];
  const time = "2026-01-15T12:00:00.000Z";
  const rest = ["tenant", TENANT, "received_at", time, "source", "rest", "pend", "f".repeat(24), "pub", Date.now()];
  const last = String(await server.send("XADD", "events", "*", ...fields, "timestamp", time, ...rest));
  await using connection = new RedisConnection(server.url, { name: "test" });
  await until("everything is acknowledged", async () => {
    const [group] = await groupsOf(connection, "events");
    return group!.pending === 0 && group!.delivered === last;
  });
});

redisTest("changed cells reach who watches, and a gap tells to read everything anew", async (server) => {
  await using parts = await openParts(server.url);
  const { stream } = parts;
  let missed = 0;
  const named = Promise.withResolvers<void>();
  const unwatch = stream.watchCells((cells) => cells === "all" ? missed += 1 : named.resolve());
  await using connection = new RedisConnection(server.url, { name: "test" });
  const cells = [{ tenant: TENANT, start: 0, eventType: "purchase" }];
  await server.send("XADD", "events:cells", "*", "cells", "not JSON");
  await addCells(connection, { keys: new RedisKeys("events"), cells });
  await named.promise;
  assertEquals(missed, 0);
  await server.cut();
  await until("the cut is told", () => missed > 0);
  const told = missed;
  await server.flushAll();
  await until("the loss is told", () => missed > told);
  unwatch();
});
