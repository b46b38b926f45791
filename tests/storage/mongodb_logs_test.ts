/** What is logged of the troubles of MongoDB: enough to mend them, and nothing that users sent. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { recordLogs } from "../logs.ts";
import { answerAsEmpty, type Command, startFakeMongo } from "../services/fake_mongo.ts";
import { events } from "./conformance/events.ts";
import { fakeTest, openOn } from "./mongodb_fake.ts";

/** Everything of an error, also what is not in its message. */
function wholeOf(value: unknown): string {
  return Deno.inspect(value, { depth: 20, strAbbreviateSize: Infinity, iterableLimit: Infinity });
}

fakeTest("documents that are refused are not in the log", async () => {
  await using open = await openOn((command) => ({
    n: 0,
    writeErrors: (command.documents as Command[]).map((_, index) => ({ index, code: 14_031, errmsg: "no space" })),
  }));
  await using logs = await recordLogs();
  const private_ = events(1_000, () => ({ userId: "ann@example.com", properties: '{"iban":"DE00"}' }));
  await open.store.append(private_);
  const [told] = logs.records.filter(({ level }) => level === "warning");
  assertMatch(String(told!.message.join("")), /^1000 events are not known to be stored: .*14031.*no space/);
  const whole = wholeOf(logs.records.map(({ properties }) => properties));
  assert(!/ann@|iban/.test(whole), "what users sent is logged");
  assert(whole.length < 5_000, `${whole.length} characters`);
});

fakeTest("why the database does not do what it is asked is logged once in a while, without values", async () => {
  let answer: Command = {};
  await using fake = startFakeMongo((command) => "find" in command ? answer : answerAsEmpty(command));
  answer = answerAsEmpty({ find: "events" });
  await using store = await MongodbStore.open({ url: fake.url });
  await using logs = await recordLogs();
  answer = { ok: 0, code: 13, codeName: "Unauthorized", errmsg: `not authorized ${"x".repeat(10_000)}` };
  for (let i = 0; i < 3; i++) await store.get("default", "x").catch(() => {});
  answer = {
    ok: 0,
    code: 11_000,
    codeName: "DuplicateKey",
    errmsg: 'index: user dup key: { user_id: "ann@example.com" }',
  };
  const error = await store.get("default", "x").catch((error) => error);
  const told = logs.lines.filter((line) => line.startsWith("The database does not do what it is asked: "));
  assertEquals(told.length, 2, told.join("\n"));
  assertMatch(told[0]!, /MongoServerError 13 Unauthorized: not authorized/);
  assert(told[0]!.length < 1_000);
  assertEquals([error.code, error.message], ["unavailable", "The database does not answer"]);
  assert(!wholeOf([error, logs.records]).includes("ann@"));
});
