/** What the writer of the SQLite store promises beside storing: syncing, telling of commits, and an index that follows. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { SYNCHRONOUS_FULL } from "../../src/storage/sqlite_connection.ts";
import { bucketOf, decodeUserEntries, userHash, userRowId } from "../../src/storage/sqlite_postings.ts";
import type { ChangedCells } from "../../src/stream.ts";
import { event, events, HOUR, NOON, store, tally, TENANT } from "./conformance/events.ts";
import { totalOf } from "./conformance/model.ts";
import { behindItsBack, fileTest, openFile, type OpenSqlite } from "./sqlite.ts";

const ALL = { tenant: TENANT, from: NOON - HOUR, to: NOON + HOUR };

/** Waits until no more than so many events are left to be indexed. */
async function whenIndexed(open: OpenSqlite, leftMax: number): Promise<void> {
  for (;;) {
    const { detail } = await open.store.health();
    assertMatch(detail, /^\d+ events are not indexed yet$/);
    if (parseInt(detail) <= leftMax) return;
  }
}

fileTest("commits are synced to disk, also after steps of the index, purges and failures", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await using open = await openFile(path, { indexStepRows: 100 });
  // Health says so itself when the writer's connection does not sync: see the last lines.
  for (let round = 0; round < 5; round++) {
    await store(open.store, events(250, (i) => ({ timestamp: NOON + i, receivedAt: NOON + HOUR + round })));
    await whenIndexed(open, 99);
  }
  await open.store.purge(NOON + HOUR + 2);
  behindItsBack(
    path,
    (database) =>
      database.exec("create trigger fault before insert on index_steps begin select raise(abort, 'a fault'); end"),
  );
  await store(open.store, events(250, () => ({ timestamp: NOON + 1_000 })));
  await open.store.settle();
  behindItsBack(path, (database) => database.exec("drop trigger fault"));
  await store(open.store, events(250, () => ({ timestamp: NOON + 1_000 })));
  await whenIndexed(open, 99);
  const full = behindItsBack(path, (database) => {
    database.exec("pragma synchronous = full");
    return database.prepare("pragma synchronous").get()!.synchronous;
  });
  assertEquals(SYNCHRONOUS_FULL, full, "what health compares with is something else");
});

fileTest("a commit made while the wish to follow was under way is told of", async (folder) => {
  await using open = await openFile(`${folder}/eventhub.db`);
  await store(open.store, [event()]);
  const cells = Promise.withResolvers<ChangedCells | "nothing">();
  const commits = Promise.withResolvers<string>();
  // As if the log had been looked at before that commit, and the writer had heard of the wish after it.
  open.store.watchCells((changed) => cells.resolve(changed), 0);
  open.store.watch(() => commits.resolve("told"), 0);
  // What the writer says of it, it says before it answers this.
  await open.store.settle();
  cells.resolve("nothing");
  commits.resolve("nothing");
  assertEquals(await cells.promise, [{ tenant: TENANT, start: NOON, eventType: "purchase" }]);
  assertEquals(await commits.promise, "told");
});

fileTest("events are refused when the index does not follow, and taken again when it does", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await using open = await openFile(path, { troubleMs: Infinity });
  behindItsBack(
    path,
    (database) =>
      database.exec("create trigger fault before insert on index_steps begin select raise(abort, 'a fault'); end"),
  );
  const taken = [];
  for (;;) {
    const batch = events(4_000, (i) => ({ timestamp: NOON + i }));
    const statuses = tally(await open.store.append(batch));
    if (statuses.stored !== 4_000) {
      assertEquals(statuses, { unavailable: 4_000 });
      break;
    }
    taken.push(...batch);
    assert(taken.length < 200_000, "the rows that wait for the index fill the memory");
  }
  assertMatch((await open.store.health()).detail, /index does not follow/);
  assertEquals(await open.store.count(ALL), totalOf(taken, ALL));
  behindItsBack(path, (database) => database.exec("drop trigger fault"));
  await store(open.store, events(10));
  await whenIndexed(open, 8_192);
  assertEquals((await open.store.count(ALL)).count, taken.length + 10);
  assertEquals((await open.store.verify(ALL)).differing, 0);
});

fileTest("what was erased before it was indexed is not indexed as the user's", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await using open = await openFile(path);
  await store(open.store, events(1_000, (i) => ({ userId: i % 2 === 0 ? "jane" : "john" })));
  assertEquals(await open.store.erase(TENANT, "jane"), 500);
  await store(open.store, events(5_000, () => ({ userId: "john" })));
  await whenIndexed(open, 4_095);
  const entriesOf = (user: string) =>
    behindItsBack(path, (database) => {
      const hash = userHash(1, user);
      const bucket = bucketOf(hash);
      const rows = database.prepare("select entries from index_by_user where id > ? and id < ?")
        .all(userRowId(bucket, 0), userRowId(bucket + 1, 0)) as { entries: Uint8Array }[];
      return rows.reduce(
        (sum, row) => sum + decodeUserEntries(row.entries).hashes.filter((one) => one === hash).length,
        0,
      );
    });
  assert(entriesOf("john") > 500);
  assertEquals(entriesOf("jane"), 0);
});
