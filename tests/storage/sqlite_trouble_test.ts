/** What the SQLite store tells of its troubles: in the log, once each, and on `/readyz`. */
import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { HubError } from "../../src/errors.ts";
import { recordLogs } from "../logs.ts";
import { event, events, HOUR, NOON, store, tally, TENANT } from "./conformance/events.ts";
import { damagePages, fileTest, openFile } from "./sqlite.ts";

fileTest(
  "an event that holds retention up for long is warned of once; one that waits for a day is not",
  async (folder) => {
    await using logs = await recordLogs();
    await using open = await openFile(`${folder}/eventhub.db`);
    const [soon, far] = [NOON + 23 * HOUR, NOON + 1_000 * HOUR];
    await store(open.store, [event({ receivedAt: NOON, timestamp: soon, id: "soon" })]);
    await store(open.store, [event({ receivedAt: NOON, timestamp: far, id: "far" })]);
    assertEquals(await open.store.purge(NOON + 1), 0);
    for (let pass = 0; pass < 3; pass++) {
      assertEquals(
        await open.store.purge(NOON + 25 * HOUR + pass),
        pass === 0 ? 1 : 0,
      );
    }
    await logs.whenLogged(/Retention waits for event far/);
    await open.database[Symbol.asyncDispose]();
    assertEquals(logs.lines.filter((line) => line.includes("Retention waits")).length, 1, logs.lines.join("\n"));
    assert(logs.lines[0]!.includes(new Date(far).toISOString()));
  },
);

fileTest(
  "a damaged file is told of once, and the store is not well again while questions are answered",
  async (folder) => {
    const path = `${folder}/eventhub.db`;
    const all = events(20_000, (i) => ({ timestamp: NOON + i }));
    {
      await using open = await openFile(path);
      for (let at = 0; at < all.length; at += 5_000) await store(open.store, all.slice(at, at + 5_000));
    }
    await using logs = await recordLogs();
    await using open = await openFile(path);
    assertEquals((await open.store.health()).ok, true);
    damagePages(path, 100);
    for (let i = 0; i < 3; i++) {
      const listed = open.store.list({ tenant: TENANT }, { limit: 100, order: i % 2 === 0 ? "asc" : "desc" });
      assertEquals((await assertRejects(() => listed, HubError)).code, "unavailable");
      assertEquals(await open.store.get("nobody", "nothing"), null);
      const health = await open.store.health();
      assertEquals(health.ok, false);
      assertMatch(health.detail, /damaged .*malformed.*restore a backup/);
    }
    await logs.whenLogged(/question could not be answered.*malformed/);
    assertEquals(logs.lines.length, 1, logs.lines.join("\n"));
  },
);

fileTest("a damaged file that cannot be written stays so, also when the trial write succeeds", async (folder) => {
  const path = `${folder}/eventhub.db`;
  const all = events(20_000, (i) => ({ timestamp: NOON + i }));
  {
    await using open = await openFile(path);
    for (let at = 0; at < all.length; at += 5_000) await store(open.store, all.slice(at, at + 5_000));
  }
  await using logs = await recordLogs();
  await using open = await openFile(path, { troubleMs: 0 });
  damagePages(path, 100);
  for (let i = 0; i < 3; i++) {
    assertEquals(tally(await open.store.append(all.slice(12_000, 12_100))), { unavailable: 100 });
    assertMatch((await open.store.health()).detail, /damaged .*malformed.*restore a backup/);
  }
  await logs.whenLogged(/Events could not be stored.*malformed/);
  assertEquals(logs.lines.filter((line) => line.includes("could not be stored")).length, 1, logs.lines.join("\n"));
});
