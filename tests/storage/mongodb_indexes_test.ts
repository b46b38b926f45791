/** Indexes at the start: what is missing is built, however long it takes, and what is there is left alone. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { recordLogs } from "../logs.ts";
import { answerAsEmpty, type Command, type FakeMongo, startFakeMongo } from "../services/fake_mongo.ts";
import { event } from "./conformance/events.ts";
import { fakeTest, openOn } from "./mongodb_fake.ts";

/** A server that keeps the names of indexes, by collection. `isBuilding`: those that are created are not ready yet. */
function startIndexed(there: Map<string, Command[]>, { isBuilding = false } = {}): FakeMongo {
  return startFakeMongo((command) => {
    if ("createIndexes" in command) {
      const collection = String(command.createIndexes);
      const created = command.indexes as Command[];
      const old = (there.get(collection) ?? []).filter(({ name }) => !created.some((one) => one.name === name));
      there.set(collection, [...old, ...created.map((one) => ({ ...one, isBuilding }))]);
    }
    if (!("listIndexes" in command)) return answerAsEmpty(command);
    const firstBatch = (there.get(String(command.listIndexes)) ?? []).map(({ isBuilding, ...spec }) =>
      isBuilding ? { spec, buildUUID: "of the build" } : spec
    );
    return { cursor: { id: 0n, ns: "event_hub.events", firstBatch } };
  });
}

/** Names of the indexes that were created, with their collections. */
function createdOn({ commands }: FakeMongo): string[] {
  return commands.flatMap((command) =>
    (command.createIndexes === undefined ? [] : command.indexes as Command[])
      .map(({ name }) => `${command.createIndexes} ${name}`)
  );
}

fakeTest("indexes that are there are not created again, those of a collection are created at once", async () => {
  const there = new Map<string, Command[]>();
  await using fake = startIndexed(there);
  await (await MongodbStore.open({ url: fake.url }))[Symbol.asyncDispose]();
  const created = createdOn(fake);
  assertEquals([created.length, new Set(created).size], [10, 10]);
  assertEquals(fake.commands.filter((command) => "createIndexes" in command).length, 3);
  await (await MongodbStore.open({ url: fake.url }))[Symbol.asyncDispose]();
  assertEquals(createdOn(fake), created);
});

fakeTest("an index that is still being built is waited for", async () => {
  const there = new Map<string, Command[]>();
  {
    await using building = startIndexed(there, { isBuilding: true });
    await (await MongodbStore.open({ url: building.url }))[Symbol.asyncDispose]();
  }
  // A server answers the command for an index of which a build is under way when that has ended.
  await using fake = startIndexed(there);
  await (await MongodbStore.open({ url: fake.url }))[Symbol.asyncDispose]();
  assertEquals(createdOn(fake).length, 10);
});

fakeTest("a build may take longer than an answer to anything else, and is told", async () => {
  const slowly = async (command: Command) => {
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    return answerAsEmpty(command);
  };
  const there = new Map<string, Command[]>();
  await using indexed = startIndexed(there);
  await (await MongodbStore.open({ url: indexed.url }))[Symbol.asyncDispose]();
  const names = new Map(there);
  let built = 0;
  await using logs = await recordLogs();
  await using fake = startFakeMongo((command) => {
    if ("createIndexes" in command) built++;
    if (command.createIndexes === "events" || command.insert === "events") return slowly(command);
    if (!("listIndexes" in command)) return answerAsEmpty(command);
    const firstBatch = built < 3 ? [] : names.get(String(command.listIndexes))!;
    return { cursor: { id: 0n, ns: "event_hub.events", firstBatch } };
  });
  await using store = await MongodbStore.open({ url: fake.url, socketTimeoutMs: 300 });
  const [told] = logs.lines.filter((line) => line.startsWith("Building"));
  assertMatch(told!, /^Building the indexes slice_1, .* of events; on a large collection this takes long$/);
  assertEquals(await store.append([event()]), ["unavailable"], "whoever does not build is given up");
});

fakeTest("a unique index of another program is refused by its name", async () => {
  const openWith = async (index: Command) => {
    await using fake = startIndexed(new Map([["events", [{ name: "_id_", key: { _id: 1 } }, index]]]));
    await (await MongodbStore.open({ url: fake.url }))[Symbol.asyncDispose]();
  };
  const { message } = await assertRejects(() => openWith({ name: "event_id_1", key: { event_id: 1 }, unique: true }));
  assertMatch(message, /unique index of another program, event_id_1, .*db\.events\.dropIndex\("event_id_1"\)/);
  await assertRejects(() => openWith({ name: "u", key: { user_id: 1, x: 1 }, unique: true, sparse: true }));
  // These leave all events alone.
  await openWith({ name: "sparse", key: { event_id: 1 }, unique: true, sparse: true });
  await openWith({ name: "partial", key: { a: 1 }, unique: true, partialFilterExpression: { a: { $exists: true } } });
  await openWith({ name: "with_id", key: { tenant: 1, _id: 1 }, unique: true });
});

fakeTest("an event that a foreign unique index refuses is not known to be stored, which is told at once", async () => {
  const errmsg = "E11000 duplicate key error collection: shop.events index: event_id_1 dup key: { event_id: null }";
  await using open = await openOn(() => ({ n: 0, writeErrors: [{ index: 0, code: 11_000, errmsg }] }));
  await using logs = await recordLogs();
  const startedAt = performance.now();
  assertEquals(await open.store.append([event()]), ["unavailable"]);
  assert(performance.now() - startedAt < 4_000, "it was tried again although it can never be stored");
  assertEquals(logs.lines.filter((line) => line.includes("index: event_id_1")).length, 1, logs.lines.join("\n"));
});

fakeTest("an index of an earlier version is dropped, and one that cannot be dropped is left", async () => {
  for (const ok of [1, 0]) {
    const dropped: unknown[] = [];
    await using fake = startFakeMongo((command) => {
      if ("listIndexes" in command) {
        const names = ["_id_", "pub_1__id_1", "somebody's own"].map((name) => ({ name }));
        const firstBatch = command.listIndexes === "events" ? names : [];
        return { cursor: { id: 0n, ns: `event_hub.${command.listIndexes}`, firstBatch } };
      }
      if (!("dropIndexes" in command)) return answerAsEmpty(command);
      dropped.push([command.dropIndexes, command.index]);
      return ok === 1 ? { ok } : { ok, code: 13, errmsg: "not authorized" };
    });
    await (await MongodbStore.open({ url: fake.url }))[Symbol.asyncDispose]();
    assertEquals(dropped, [["events", "pub_1__id_1"]]);
  }
});
