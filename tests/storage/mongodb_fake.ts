/** The MongoDB store on a fake server. */
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { type Answer, answerAsEmpty, type Command, startFakeMongo } from "../services/fake_mongo.ts";

const lacking = (["env", "net", "read", "sys"] as const)
  .filter((name) => Deno.permissions.querySync({ name }).state !== "granted")
  .map((name) => `--allow-${name}`).join(" ");

/** A test that needs the fake server alone. */
export function fakeTest(name: string, fn: () => Promise<void>): void {
  Deno.test({
    name: `mongodb: ${name}${lacking && ` (needs ${lacking}: deno task test)`}`,
    ignore: lacking !== "",
    fn,
  });
}

/** Opens a store on a fake that answers inserts of events in its own way. */
export async function openOn(insert: Answer, find: Answer = answerAsEmpty) {
  const isOfEvents = (command: Command, name: string) => command[name] === "events";
  const fake = startFakeMongo((command) => {
    if (isOfEvents(command, "insert")) return insert(command);
    if (isOfEvents(command, "find") && "_id" in (command.filter as object)) return find(command);
    return answerAsEmpty(command);
  });
  const store = await MongodbStore.open({ url: fake.url });
  return {
    store,
    fake,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await fake[Symbol.asyncDispose]();
    },
  };
}
