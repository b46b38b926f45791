/** What a MongoDB server seldom does, played by a fake one: lost replies, doubtful errors, refusals at open. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { BSON, MongoClient, MongoError, ObjectId, Timestamp } from "mongodb";
import { Cells, type CellsDocument, replaceCells } from "../../src/storage/mongodb_cells.ts";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { toDocument } from "../../src/storage/mongodb_documents.ts";
import { type Answer, answerAsEmpty, type Command, GREETING, startFakeMongo } from "../services/fake_mongo.ts";
import { event, events } from "./conformance/events.ts";
import { fakeTest, openOn } from "./mongodb_fake.ts";

function documentsOf(command: Command): Command[] {
  return command.documents as Command[];
}

const DUPLICATE = { code: 11_000, errmsg: "E11000 duplicate key error" };

fakeTest("of a failed insert the indexes of the errors alone are trusted", async () => {
  const held = new Map<unknown, Command>();
  await using open = await openOn((command) => {
    const documents = documentsOf(command);
    const writeErrors = documents.flatMap((document, index) => {
      if (held.has(document._id)) return [{ index, ...DUPLICATE }];
      held.set(document._id, document);
      return [];
    });
    // Some servers tell the number of documents that were sent.
    return { n: documents.length, ...(writeErrors.length > 0 && { writeErrors }) };
  }, (command) => {
    const { _id: { $in: keys } } = command.filter as { _id: { $in: string[] } };
    const firstBatch = keys.map((key) => held.get(key)).filter((document) => document !== undefined);
    return { cursor: { id: 0n, ns: "event_hub.events", firstBatch } };
  });
  const all = events(5);
  assertEquals(await open.store.append(all.slice(0, 2)), ["stored", "stored"]);
  assertEquals(await open.store.append([all[2]!, all[0]!, all[3]!, { ...all[1]!, amount: 3 }, all[4]!]), [
    "stored",
    "duplicate",
    "stored",
    "conflict",
    "stored",
  ]);
});

fakeTest("an id that is refused and not to be seen is tried again", async () => {
  let tries = 0;
  await using open = await openOn((command) => {
    tries += 1;
    return tries < 4
      ? { n: 0, writeErrors: documentsOf(command).map((_, index) => ({ index, ...DUPLICATE })) }
      : { n: 2 };
  });
  assertEquals(await open.store.append(events(2)), ["stored", "stored"]);
  assertEquals(tries, 4);
});

fakeTest("any other doubt about an insert is unavailable: write concern, other errors, no answer", async () => {
  const answers: Answer[] = [
    () => ({ n: 3, writeConcernError: { code: 64, errmsg: "waiting for replication timed out" } }),
    () => ({
      n: 2,
      writeErrors: [{ index: 1, ...DUPLICATE }],
      writeConcernError: { code: 64, errmsg: "waiting for replication timed out" },
    }),
    () => ({ ok: 0, code: 10_107, errmsg: "not master" }),
    () => null,
  ];
  for (const [index, answer] of answers.entries()) {
    const heard: unknown[] = [];
    await using open = await openOn(answer);
    open.store.publications.watchStored((group) => heard.push(group));
    const statuses = await open.store.append(events(3));
    assert(statuses[0] === "unavailable" && statuses[2] === "unavailable", `${index}: ${statuses}`);
    assertEquals(heard, [], "what is not known to be stored was handed out");
  }
  await using open = await openOn(() => ({ n: 2, writeErrors: [{ index: 1, code: 14_031, errmsg: "no space" }] }));
  assertEquals(await open.store.append(events(3)), ["stored", "unavailable", "stored"]);
});

fakeTest("cells that another worker creates at the same moment are replaced without upsert", async () => {
  const updates: Command[] = [];
  await using fake = startFakeMongo((command) => {
    if (!("update" in command)) return answerAsEmpty(command);
    updates.push(...(command.updates as Command[]));
    return updates.length > 3 ? { n: 2, nModified: 1 } : {
      n: 1,
      nModified: 0,
      writeErrors: [{ index: 0, ...DUPLICATE }, { index: 2, ...DUPLICATE }],
    };
  });
  const cells = new Cells();
  cells.add("purchase", 1);
  const fixed = { tenant: "default", start: new Date(0) };
  await using client = new MongoClient(fake.url, { retryWrites: false });
  await replaceCells<CellsDocument>(
    client.db().collection("rollups"),
    ["a", "b", "c"].map((key) => ({ key, fixed, cells })),
  );
  const asked = updates.map(({ q, upsert }) => [(q as Command)._id, (q as Command).count, upsert ?? false]);
  assertEquals(asked.slice(0, 3), ["a", "b", "c"].map((key) => [key, { $lte: 1 }, true]));
  assertEquals(asked.slice(3), [["a", { $lte: 1 }, false], ["c", { $lte: 1 }, false]]);
  assertEquals(updates[3]!.u, updates[0]!.u);
});

fakeTest("cells that are not known to be replaced stop the pass", async () => {
  const answers: Answer[] = [
    () => ({ n: 1, writeConcernError: { code: 64, errmsg: "waiting for replication timed out" } }),
    () => ({ n: 0, writeErrors: [{ index: 0, code: 14_031, errmsg: "no space" }] }),
    () => null,
  ];
  const cells = new Cells();
  cells.add("purchase", 1);
  for (const answer of answers) {
    await using fake = startFakeMongo((command) => "update" in command ? answer(command) : answerAsEmpty(command));
    await using client = new MongoClient(fake.url, { retryWrites: false });
    const collection = client.db().collection<CellsDocument>("rollups");
    const replacement = { key: "a", fixed: { tenant: "default", start: new Date(0) }, cells };
    await assertRejects(() => replaceCells(collection, [replacement]), MongoError);
  }
});

fakeTest("writes wait for the disks of a majority and are not repeated, whatever the URL says", async () => {
  const fake = startFakeMongo(answerAsEmpty);
  const url = `${fake.url}/shop?w=0&journal=false&retryWrites=true&readPreference=secondary&readConcernLevel=local`;
  {
    await using store = await MongodbStore.open({ url });
    assertEquals(await store.append([event()]), ["stored"]);
    await store.get("default", "x");
    await store.settler.sweep({ ageMs: 0 });
  }
  const insert = fake.commands.find((command) => command.insert === "events")!;
  assertEquals([insert.writeConcern, insert.txnNumber, insert.$db], [{ w: "majority", j: true }, undefined, "shop"]);
  for (const command of fake.commands.filter((command) => "find" in command)) {
    assertEquals((command.readConcern as Command | undefined)?.level, "majority");
  }
  await fake[Symbol.asyncDispose]();
});

fakeTest("each step of a pass sees what the steps before it saw, whoever is primary by then", async () => {
  let time = 100;
  const uncounted = toDocument(event(), { pub: 0, arrival: new ObjectId(), slice: "slice" });
  const answer: Answer = (command) => {
    const isFirst = command.find === "events" && "pend" in (command.filter as object);
    const cursor = { id: BSON.Long.ZERO, ns: "event_hub.events", firstBatch: isFirst ? [uncounted] : [] };
    return { ...answerAsEmpty(command), ...("find" in command && { cursor }), operationTime: timestamp(++time) };
  };
  const greet: Answer = () => ({ ...GREETING, logicalSessionTimeoutMinutes: 30 });
  const passes: ((store: MongodbStore) => Promise<unknown>)[] = [
    (store) => store.settler.sweep({ ageMs: 0 }),
    (store) => store.settler.settleThese([{ key: uncounted._id, pend: uncounted.arrival.toHexString() }]),
    (store) => store.settle(),
    (store) => store.purge(1),
    (store) => store.rebuild({ tenant: "default", from: 0, to: 1 }),
  ];
  for (const pass of passes) {
    await using fake = startFakeMongo(answer, greet);
    await using store = await MongodbStore.open({ url: fake.url });
    const [begun, before] = [fake.commands.length, time];
    await pass(store);
    const [first, ...others] = fake.commands.slice(begun).filter((command) => !("endSessions" in command));
    const reads = others.filter((command) => "find" in command);
    assert(reads.length >= 2, `${pass}: ${reads.length} reads`);
    for (const command of others) assertEquals(command.lsid, first!.lsid, `${pass}: a command outside of the session`);
    for (const { readConcern } of reads) {
      const { level, afterClusterTime } = readConcern as { level: string; afterClusterTime: Timestamp };
      assertEquals(level, "majority");
      assert(afterClusterTime.greaterThan(timestamp(before)), `${pass}: a read may see less than the one before it`);
    }
  }
});

function timestamp(t: number): Timestamp {
  return new Timestamp({ t, i: 1 });
}

fakeTest("a URL without a database means event_hub", async () => {
  await using open = await openOn(answerAsEmpty);
  await open.store.append([event()]);
  assertEquals(open.fake.commands.find((command) => "insert" in command)!.$db, "event_hub");
});

fakeTest("times are the server's, by its greeting or by isMaster where it has no hello", async () => {
  const ahead = 3_600_000;
  const answers: Answer[] = [
    (command) => "hello" in command ? { ...GREETING, localTime: new Date(Date.now() + ahead) } : GREETING,
    (command) =>
      "hello" in command
        ? { ok: 0, code: 59, errmsg: "no such command: 'hello'" }
        : { ...GREETING, localTime: new Date(Date.now() + ahead) },
  ];
  for (const greet of answers) {
    await using fake = startFakeMongo(answerAsEmpty, greet);
    await using store = await MongodbStore.open({ url: fake.url });
    await store.append([event()]);
    const [document] = documentsOf(fake.commands.find((command) => command.insert === "events")!);
    const off = (document!.pub as Date).getTime() - Date.now() - ahead;
    assert(Math.abs(off) < 5_000, `${off} ms off`);
    assert(Math.abs(store.publications.now() - Date.now() - ahead) < 5_000);
  }
  await using fake = startFakeMongo(answerAsEmpty, () => GREETING);
  await using store = await MongodbStore.open({ url: fake.url });
  assert(Math.abs(store.publications.now() - Date.now()) < 5_000, "without the server's clock, this one's");
});

fakeTest("a clock that is set is noticed within a minute of it", async () => {
  let [own, ahead] = [Date.now(), 0];
  await using fake = startFakeMongo(answerAsEmpty, () => ({ ...GREETING, localTime: new Date(own + ahead) }));
  await using store = await MongodbStore.open({ url: fake.url, clock: () => own });
  assertEquals(store.publications.now(), own);
  ahead = 3_600_000;
  await store.get("default", "x");
  assertEquals(store.publications.now(), own, "it is not asked for at every command");
  own += 60_000;
  await store.get("default", "x");
  // It is asked for beside the command; closing waits for it.
  await store[Symbol.asyncDispose]();
  assertEquals(store.publications.now(), own + ahead);
});

async function refusal(url: string): Promise<string> {
  const { message } = await assertRejects(() => MongodbStore.open({ url }), Error);
  assert(message.startsWith("Cannot open mongodb") && message.includes("(EVENTHUB_STORE_URL): "), message);
  assert(!/s3cr|p%40ss|p@ss/.test(message), `The password is told: ${message}`);
  return message;
}

fakeTest("who cannot open is told why, without the password", async () => {
  const port = (() => {
    using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    return listener.addr.port;
  })();
  const unreachable = await refusal(`mongodb://ann:s3cret@127.0.0.1:${port}/shop?serverSelectionTimeoutMS=200`);
  assertMatch(
    unreachable,
    /^Cannot open mongodb:\/\/ann:\*\*\*@127\.0\.0\.1:\d+\/shop\S* .*: no server can be reached/,
  );
  assertMatch(await refusal("mongodb://ann:s3cret@/shop"), /it is not a URL of MongoDB/);
  assertMatch(await refusal("mongodb://ann:p%40ss@127.0.0.1/shop?nonsense=1"), /it is not a URL of MongoDB/);
});

fakeTest("one member of a replica set alone is refused, a set of one is not", async () => {
  const greetAs = (hosts: string[]) => ({ ...GREETING, setName: "rs0", hosts, me: hosts[0], primary: hosts[0] });
  await using several = startFakeMongo(answerAsEmpty, () => greetAs(["a:27017", "b:27017"]));
  const direct = "/shop?directConnection=true";
  assertMatch(
    await refusal(`${several.url}${direct}`),
    /directConnection=true asks one member .* name them all: a:27017,b:27017$/,
  );
  await using single = startFakeMongo(answerAsEmpty, () => greetAs(["a:27017"]));
  await (await MongodbStore.open({ url: `${single.url}${direct}` }))[Symbol.asyncDispose]();
});

fakeTest("a server that is too old, or refuses the user, is told", async () => {
  await using old = startFakeMongo(answerAsEmpty, () => ({ ...GREETING, maxWireVersion: 6 }));
  assertMatch(
    await refusal(`${old.url}/?serverSelectionTimeoutMS=200`),
    /too old, MongoDB 4\.4 is the oldest that works/,
  );
  await using older = startFakeMongo((command) =>
    "buildInfo" in command ? { version: "4.2.8", versionArray: [4, 2, 8, 0] } : answerAsEmpty(command)
  );
  assertMatch(await refusal(older.url), /the server is MongoDB 4\.2\.8; it must be 4\.4 or newer/);
  await using strict = startFakeMongo(
    (command) =>
      "saslStart" in command ? { ok: 0, code: 18, errmsg: "Authentication failed." } : answerAsEmpty(command),
    () => ({ ...GREETING, saslSupportedMechs: ["SCRAM-SHA-256"] }),
  );
  const withUser = strict.url.replace("//", "//ann:s3cret@");
  assertMatch(await refusal(withUser), /the server refuses the user or the password/);
  await using closed = startFakeMongo((command) =>
    "createIndexes" in command ? { ok: 0, code: 13, errmsg: "not authorized on event_hub" } : answerAsEmpty(command)
  );
  assertMatch(await refusal(closed.url), /has not the right to read and write there/);
});
