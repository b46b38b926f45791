/** What the SQLite store tells of its troubles: in the log, once each, and on `/readyz`. */
import { assert, assertEquals } from "@std/assert";
import { recordLogs } from "../logs.ts";
import { event, HOUR, NOON, store } from "./conformance/events.ts";
import { fileTest, openFile } from "./sqlite.ts";

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
