/** Taking over what the Python prototype stored. */
import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { Decimal128, Double, Int32, Long, MongoClient, ObjectId } from "mongodb";
import { HOUR, idsOf, NOON, ONE, TENANT } from "../storage/conformance/events.ts";
import { listAll } from "../storage/conformance/model.ts";
import { openMongodb } from "../storage/mongodb.ts";
import { openFile } from "../storage/sqlite.ts";
import { mongoLacking } from "../services/mongo.ts";
import { processTest } from "./process.ts";
import { runTransfer, workFolder } from "./transfer.ts";

const lacking = mongoLacking();
const ALL = { tenant: TENANT, from: NOON - HOUR, to: NOON + 30 * HOUR };

/** A test with the prototype's documents in a database that Event Hub uses, too. */
function prototypeTest(
  name: string,
  fn: (given: {
    url: string;
    insert(documents: readonly object[]): Promise<void>;
    harness: Awaited<ReturnType<typeof openMongodb>>;
  }) => Promise<void>,
): void {
  processTest(
    `import --from-prototype: ${name}`,
    async () => {
      await using harness = await openMongodb({ isPublished: true });
      const events = harness.database.collection<{ _id: ObjectId }>("events");
      await fn({
        url: harness.url,
        insert: async (documents) => void await events.insertMany(documents as { _id: ObjectId }[]),
        harness,
      });
    },
    { lacking },
  );
}

/** An ObjectId of a moment. */
function idAt(time: number, number: number): ObjectId {
  return new ObjectId(Math.floor(time / 1_000).toString(16).padStart(8, "0") + number.toString(16).padStart(16, "0"));
}

function document(number: number, given: object = {}): { _id: ObjectId } {
  const time = NOON + number * 1_000;
  return {
    _id: idAt(time, number),
    user_id: `user-${number}`,
    event_type: "purchase",
    amount: new Double(12.5 + number),
    timestamp: new Date(time + 7),
    ...given,
  } as { _id: ObjectId };
}

prototypeTest(
  "documents become events of tenant default, in the same database, and stay as they are",
  async (given) => {
    const documents = Array.from({ length: 2_500 }, (_, i) => document(i, { amount: new Double(i / 100) }));
    await given.insert(documents);
    const prototype = given.harness.database.collection<{ _id: ObjectId }>("events");
    const before = await prototype.find({ _id: { $in: documents.map(({ _id }) => _id) } }).sort({ _id: 1 }).toArray();
    await using folder = workFolder();
    const run = () => runTransfer(folder, ["import", "--store", given.url, "--from-prototype", given.url]);
    const first = await run();
    assertEquals({ code: first.code, stderr: first.stderr }, { code: 0, stderr: "" });
    assertMatch(first.stdout, /^documents: 2,500 read, 2,500 stored, 0 there already, 0 not taken\n/);
    const again = await run();
    assertEquals({ code: again.code, stderr: again.stderr }, { code: 0, stderr: "" });
    assertMatch(again.stdout, /^documents: 2,500 read, 0 stored, 2,500 there already, 0 not taken\n/);

    const { store } = given.harness;
    const listed = await listAll(store, { tenant: TENANT }, { limit: 1_000, order: "asc" });
    assertEquals(idsOf(listed), documents.map(({ _id }) => _id.toHexString()));
    assertEquals(listed[7], {
      id: documents[7]!._id.toHexString(),
      tenant: TENANT,
      userId: "user-7",
      eventType: "purchase",
      amount: 700,
      timestamp: NOON + 7_007,
      timestampGiven: true,
      receivedAt: NOON + 7_000,
      source: "import",
      properties: null,
    });
    assertEquals((await store.count(ALL)).sum, BigInt(100 * (2_499 * 2_500 / 2)));
    assertEquals((await store.verify(ALL)).differing, 0);
    assertEquals(
      await prototype.find({ _id: { $in: documents.map(({ _id }) => _id) } }).sort({ _id: 1 }).toArray(),
      before,
    );
  },
);

prototypeTest("what is no event is told by its id, with the reason, and the others are taken", async (given) => {
  const bad: [object, RegExp][] = [
    [{ amount: new Double(NaN) }, /\/amount: amount must be a number, not NaN/],
    [{ amount: new Double(Infinity) }, /\/amount/],
    [{ amount: new Double(1e308) }, /\/amount/],
    [{ amount: new Double(0.1 + 0.2) }, /\/amount: amount must have at most 4 fraction digits/],
    [{ amount: "much" }, /\/amount/],
    [{ amount: null }, /\/amount: amount is required/],
    [{ user_id: undefined }, /\/user_id: user_id is required/],
    [{ user_id: 5 }, /\/user_id/],
    [{ event_type: "no name" }, /\/event_type/],
    [{ timestamp: "yesterday" }, /\/timestamp/],
    [{ timestamp: 5 }, /\/timestamp/],
    [{ timestamp: new Date(NOON + 1_000 * HOUR) }, /\/timestamp.*ahead/],
    [{ amount: "x", user_id: "" }, /\/user_id: .*; \/amount: /],
    [{ currency: "EUR" }, /currency/],
  ];
  const good: [object, Partial<{ amount: number; timestamp: number; timestampGiven: boolean }>][] = [
    [{ amount: new Int32(3) }, { amount: 3 * ONE }],
    [{ amount: Long.fromNumber(-4) }, { amount: -4 * ONE }],
    [{ amount: Decimal128.fromString("5.0001") }, { amount: 50_001 }],
    [{ amount: new Double(-0) }, { amount: 0 }],
    [{ timestamp: "2026-01-15T13:00:00.123456" }, { timestamp: NOON + HOUR + 123 }],
    [{ timestamp: "2026-01-15T13:00:00+01:00" }, { timestamp: NOON }],
    [{ timestamp: undefined }, { timestampGiven: false }],
  ];
  const documents = [...bad, ...good].map(([members], i) => {
    const all = { ...document(i), ...members } as Record<string, unknown>;
    for (const name in all) if (all[name] === undefined) delete all[name];
    return all as { _id: ObjectId };
  });
  await given.insert(documents);
  await given.insert([{ _id: "by hand", note: "not the prototype's" }]);
  await using folder = workFolder();
  const { code, stdout, stderr } = await runTransfer(folder, [
    "import",
    "--store",
    folder.store("target"),
    "--from-prototype",
    given.url,
  ]);
  assertEquals(code, 1);
  assertStringIncludes(
    stdout,
    `documents: ${documents.length} read, ${good.length} stored, 0 there already, ${bad.length} not taken`,
  );
  const lines = stderr.trimEnd().split("\n");
  bad.forEach(([, expected], i) => {
    const line = lines.find((text) => text.startsWith(`_id ${documents[i]!._id.toHexString()}: it was not taken: `));
    assertMatch(line ?? `nothing is told of ${i}`, expected);
  });
  assertMatch(stderr, /1 documents have no tenant and no ObjectId/);
  assertMatch(stderr, new RegExp(`Not everything was taken over: ${bad.length + 1} faults`));
  await using target = await openFile(folder.file("data/target.db"));
  for (const [i, [, expected]] of good.entries()) {
    const stored = await target.store.get(TENANT, documents[bad.length + i]!._id.toHexString());
    for (const [name, value] of Object.entries(expected)) {
      assertEquals(stored?.[name as "amount"], value as number, `${i}`);
    }
  }
  assertEquals((await target.store.count(ALL)).count, good.length);
});

prototypeTest("times are read in the zone of the prototype's clock", async (given) => {
  await given.insert([document(1), document(2, { timestamp: "2026-01-15T13:00:00" })]);
  await using folder = workFolder();
  const args = ["import", "--store", folder.store("target"), "--from-prototype", given.url];
  const wrong = await runTransfer(folder, [...args, "--naive-zone", "Nowhere"]);
  assertEquals(wrong.code, 2);
  assertMatch(wrong.stderr, /--naive-zone must be a time zone/);
  const unnamed = args.slice(0, -1);
  const nowhere = await runTransfer(folder, unnamed);
  assertEquals([nowhere.code, nowhere.stderr], [2, "error: EVENTHUB_PROTOTYPE_URL must be mongodb://…\n"]);
  const env = { EVENTHUB_NAIVE_ZONE: "Europe/Berlin", EVENTHUB_PROTOTYPE_URL: given.url };
  const { code, stderr } = await runTransfer(folder, unnamed, { env });
  assertEquals(code, 0, stderr);
  await using target = await openFile(folder.file("data/target.db"));
  const listed = await listAll(target.store, { tenant: TENANT }, { limit: 10, order: "asc" });
  assertEquals(listed.map(({ timestamp }) => timestamp), [NOON + 1_007 - HOUR, NOON]);
});

prototypeTest("nothing is written where the prototype's data lies", async (given) => {
  const url = new URL(given.url);
  url.pathname += "_prototype";
  await using client = new MongoClient(url.href);
  await client.db().collection<{ _id: ObjectId }>("events").insertOne(document(1));
  await using folder = workFolder();
  const { code, stderr } = await runTransfer(folder, ["import", "--store", given.url, "--from-prototype", url.href]);
  assertEquals(code, 0, stderr);
  const collections = await client.db().listCollections().toArray();
  assertEquals(collections.map(({ name }) => name).filter((name) => !name.startsWith("system.")), ["events"]);
  assertEquals((await client.db().collection("events").listIndexes().toArray()).map(({ name }) => name), ["_id_"]);
  await client.db().dropDatabase();
});
