/** The clock of the server, as far as its answers can be trusted. */
import { assertEquals } from "@std/assert";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { answerAsEmpty, GREETING, startFakeMongo } from "../services/fake_mongo.ts";
import { fakeTest } from "./mongodb_fake.ts";

fakeTest("an answer that was long on its way says nothing about the clock", async () => {
  let [own, tookMs] = [Date.now(), 0];
  await using fake = startFakeMongo(answerAsEmpty, () => {
    const localTime = new Date(own);
    // The server told its time, and the answer was stalled.
    own += tookMs;
    return { ...GREETING, localTime };
  });
  await using store = await MongodbStore.open({ url: fake.url, clock: () => own });
  tookMs = 10_000;
  assertEquals((await store.health()).ok, true);
  assertEquals(store.publications.now(), own, "the clock was moved by a stalled answer");
  tookMs = 900;
  await store.health();
  assertEquals(store.publications.now(), own - 450);
});
