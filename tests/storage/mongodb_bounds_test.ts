/** What a client can ask for costs MongoDB a bounded number of commands, however hostile it is. */
import { assert, assertEquals } from "@std/assert";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { type Answer, answerAsEmpty, startFakeMongo } from "../services/fake_mongo.ts";
import { event, events, NOON, tally } from "./conformance/events.ts";
import { fakeTest, openOn } from "./mongodb_fake.ts";

/** An empty database of a tenant that has all the types it may have, `type-0` to `type-199`. */
const answerWithAllTypes: Answer = (command) => {
  if (command.find !== "tenants") return answerAsEmpty(command);
  const types = Array.from({ length: 200 }, (_, i) => `type-${i}`);
  return { cursor: { id: 0n, ns: "event_hub.tenants", firstBatch: [{ _id: "default", event_types: types }] } };
};

fakeTest("equal ids that are refused are decided at once", async () => {
  await using fake = startFakeMongo(answerWithAllTypes);
  await using store = await MongodbStore.open({ url: fake.url });
  const begun = fake.commands.length;
  const refused = events(10_000, () => ({ id: "same", eventType: "new" }));
  assertEquals(tally(await store.append(refused)), { too_many_event_types: 10_000 });
  assert(fake.commands.length - begun < 10, `${fake.commands.length - begun} commands`);
});

fakeTest("of equal ids the first that may be stored is the first copy", async () => {
  await using fake = startFakeMongo(answerWithAllTypes);
  await using store = await MongodbStore.open({ url: fake.url });
  const copies = ["new", "type-1", "other", "type-1", "type-2"].map((eventType) =>
    event({ id: "same", eventType, timestamp: NOON, receivedAt: NOON })
  );
  assertEquals(await store.append(copies), [
    "too_many_event_types",
    "stored",
    "conflict",
    "duplicate",
    "conflict",
  ]);
});

fakeTest("equal ids that are refused as duplicates and not to be seen are given up together", async () => {
  await using open = await openOn((command) => ({
    n: 0,
    writeErrors: [{ index: 0, code: 11_000, errmsg: "E11000 duplicate key error", keyPattern: { _id: 1 } }],
    documents: command.documents,
  }));
  const startedAt = performance.now();
  assertEquals(tally(await open.store.append(events(50, () => ({ id: "same" })))), { unavailable: 50 });
  assert(performance.now() - startedAt < 15_000, "each copy was tried for as long as the first");
});
