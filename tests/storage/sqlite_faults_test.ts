/** What the SQLite store does when the disk is full, the file is locked, or a part of it dies. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { DatabaseSync } from "node:sqlite";
import type { Event } from "../../src/event.ts";
import type { AppendStatus, EventStore } from "../../src/storage.ts";
import { event, events, HOUR, MINUTE, NOON, store, tally, TENANT } from "./conformance/events.ts";
import { listAll, totalOf } from "./conformance/model.ts";
import { batchOf } from "./sqlite_batches.ts";
import { behindItsBack, fileTest, openFile, type OpenSqlite, startChild } from "./sqlite.ts";

const ALL = { tenant: TENANT, from: NOON - 24 * HOUR, to: NOON + 24 * HOUR };
const ROUNDS = 4;

/** Recounts the events in plain SQL, so that nothing of the store's own counting is trusted. */
function assertCellsMatch(path: string): void {
  const differing = behindItsBack(path, (database) =>
    database.prepare(`
      with counted as (
        select span, tenant, ts / span * span as start, type, count(*) as count,
          sum(amount / 1000000) as high, sum(amount % 1000000) as low, min(amount) as min, max(amount) as max
        from events, (select 60000 as span union all select 3600000)
        group by 1, 2, 3, 4),
      stored as (select span, tenant, start, type, count, sum_high * 1000000 as high, sum_low as low, min, max from cells)
      select * from counted full join stored using (span, tenant, start, type)
      where counted.count is not stored.count or counted.min is not stored.min or counted.max is not stored.max
        or counted.high * 1000000 + counted.low is not stored.high * 1000000 + stored.low`).all());
  assertEquals(differing, []);
}

/** Sends events until each one's fate is known. */
async function settle(store: EventStore, all: readonly Event[]): Promise<readonly AppendStatus[]> {
  for (;;) {
    const statuses = await store.append(all);
    if (!statuses.includes("unavailable")) return statuses;
    // Gives up the thread, so that the store can come back.
    await new Promise((resolve) => void setImmediate(resolve));
  }
}

/** Makes a Worker of the store fail in a way it does not expect. */
async function kill(open: OpenSqlite, kind: "writer" | "reader"): Promise<void> {
  const { ports } = open.database.ports();
  const killed = Promise.withResolvers<void>();
  ports.control.onmessage = ({ data }) => {
    if (data.kind === kind && data.port === null) killed.resolve();
    if (data.kind === kind) data.port?.postMessage(null);
    data.port?.close();
  };
  await killed.promise;
  ports.control.postMessage({ kind: "leave" });
  ports.control.close();
}

fileTest(
  "a full disk refuses whole groups as unavailable, and events are taken again when it has room",
  async (folder) => {
    const path = `${folder}/eventhub.db`;
    await using open = await openFile(path, { pagesMax: 400, indexStepRows: 200, troubleMs: Infinity });
    const taken: Event[] = [];
    let refused: Event[] = [];
    for (let batch = 0; refused.length === 0; batch++) {
      const group = events(
        300,
        (i) => ({ timestamp: NOON + i * 1_000, receivedAt: NOON + HOUR + batch, amount: batch }),
      );
      const statuses = tally(await open.store.append(group));
      if (statuses.stored === 300) taken.push(...group);
      else refused = group;
      assertEquals(Object.keys(statuses).length, 1, JSON.stringify(statuses));
    }
    const health = await open.store.health();
    assertEquals(health.ok, false);
    assertMatch(health.detail, /disk is full/);
    assertEquals(tally(await open.store.append(taken.slice(0, 500))), { duplicate: 500 });
    assertEquals(await open.store.get(TENANT, refused[0]!.id), null);
    assertEquals(await open.store.count(ALL), totalOf(taken, ALL));
    assertEquals((await open.store.verify(ALL)).differing, 0);
    assertCellsMatch(path);

    const newer = events(300, (i) => ({ timestamp: NOON + HOUR + i, receivedAt: NOON + 2 * HOUR }));
    assertEquals(tally(await open.store.append(newer)), { unavailable: 300 });
    const half = Math.floor(taken.length / 600);
    assertEquals(await open.store.purge(NOON + HOUR + half), half * 300);
    // There is room for the trial, but only a commit proves that groups fit again.
    assertEquals((await open.store.health()).ok, false);
    assertEquals(tally(await open.store.append(newer)), { stored: 300 });
    assertEquals((await open.store.health()).ok, true);
    assertEquals((await open.store.verify(ALL)).differing, 0);
  },
);

fileTest(
  "a file that another program has locked is unavailable, and nothing of the group is stored",
  async (folder) => {
    const path = `${folder}/eventhub.db`;
    await using open = await openFile(path, { busyTimeoutMs: 50, troubleMs: 0 });
    const [before, during] = [events(100), events(100, () => ({ eventType: "new-type", tenant: "new" }))];
    await store(open.store, before);
    using other = new DatabaseSync(path);
    other.exec("begin immediate");
    assertEquals(tally(await open.store.append(during)), { unavailable: 100 });
    assertEquals(await open.store.count(ALL), totalOf(before, ALL));
    assertMatch((await open.store.health()).detail, /locked/);
    other.exec("commit");
    assertEquals((await open.store.health()).ok, true);
    await store(open.store, during);
    assertEquals(tally(await open.store.append([...before, ...during])), { duplicate: 200 });
    assertCellsMatch(path);
  },
);

fileTest("a table that fails in the middle of a group takes nothing of it along", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await using open = await openFile(path);
  const all = events(6_000, (i) => ({ timestamp: NOON + i * 1_000, eventType: `type-${i % 30}` }));
  await store(open.store, all.slice(0, 10));
  const fault = (work: string) => behindItsBack(path, (database) => database.exec(work));
  fault(
    `create trigger fault before insert on cells when new.start = ${
      NOON + 30 * MINUTE
    } begin select raise(abort, 'a fault'); end`,
  );
  const statuses = await open.store.append(all.slice(10));
  assert(statuses.includes("unavailable"));
  const stored = all.filter((_, i) => i < 10 || statuses[i - 10] === "stored");
  assertEquals(await open.store.count(ALL), totalOf(stored, ALL));
  assertCellsMatch(path);
  fault("drop trigger fault");
  assertEquals(tally(await open.store.append(all)), { duplicate: stored.length, stored: 6_000 - stored.length });
  assertCellsMatch(path);
  assertEquals((await open.store.verify(ALL)).differing, 0);
});

fileTest(
  "names that were rolled back are forgotten: what takes their numbers is compared as what it is",
  async (folder) => {
    const path = `${folder}/eventhub.db`;
    await using open = await openFile(path);
    const fault = (work: string) => behindItsBack(path, (database) => database.exec(work));
    fault("create trigger fault before insert on cells begin select raise(abort, 'a fault'); end");
    // The same twice in one group: the second is compared with the first, which is not committed.
    const lost = event({ tenant: "lost", eventType: "lost-type" });
    assertEquals(tally(await open.store.append([lost, lost])), { unavailable: 2 });
    assertEquals(await open.store.erase("lost", "user-1"), 0);
    fault("drop trigger fault");
    const kept = event({ tenant: "kept", eventType: "kept-type" });
    assertEquals(await open.store.append([kept]), ["stored"]);
    assertEquals(await open.store.append([kept, { ...kept, eventType: "lost-type" }]), ["duplicate", "conflict"]);
    assertEquals(await open.store.append([lost, lost]), ["stored", "duplicate"]);
  },
);

fileTest("a writer that dies is started again: each append is answered, and no answer was wrong", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await using open = await openFile(path, { indexStepRows: 300 });
  const sent: Event[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const groups = Array.from({ length: 20 }, () => events(200, (i) => ({ timestamp: NOON + i * MINUTE })));
    const appends = groups.map((group) => open.store.append(group));
    await kill(open, "writer");
    const answers = await Promise.all(appends);
    groups.forEach((group, i) => assertEquals(answers[i]!.length, group.length));
    for (const [i, group] of groups.entries()) {
      const again = await settle(open.store, group);
      answers[i]!.forEach((answer, at) => {
        if (answer === "stored") assertEquals(again[at], "duplicate", "an acknowledged event was lost");
      });
    }
    sent.push(...groups.flat());
  }
  assertEquals(await open.store.count(ALL), totalOf(sent, ALL));
  assertEquals((await open.store.verify(ALL)).differing, 0);
  assertCellsMatch(path);
});

fileTest("a follower of the log hears of commits also after the writer died", async (folder) => {
  await using open = await openFile(`${folder}/eventhub.db`);
  await kill(open, "writer");
  await settle(open.store, events(1));
  const heard = Promise.withResolvers<void>();
  open.log.watch(() => heard.resolve());
  await store(open.store, [event({ id: "heard" })]);
  await heard.promise;
  await kill(open, "writer");
  const cells = Promise.withResolvers<unknown>();
  open.log.watchCells((changed) => changed === "all" ? undefined : cells.resolve(changed));
  await settle(open.store, [event({ id: "again" })]);
  assertEquals(await cells.promise, [{ tenant: TENANT, start: NOON, eventType: "purchase" }]);
});

fileTest("a reader that dies is started again; what was asked of it is unavailable", async (folder) => {
  await using open = await openFile(`${folder}/eventhub.db`);
  await store(open.store, events(100));
  const asked = Array.from({ length: 50 }, () => open.store.count(ALL).then(({ count }) => count, () => "unavailable"));
  await kill(open, "reader");
  for (const answer of await Promise.all(asked)) assert(answer === 100 || answer === "unavailable");
  for (;;) {
    const { ok } = await open.store.health();
    if (ok) break;
    await new Promise((resolve) => void setImmediate(resolve));
  }
  assertEquals((await open.store.count(ALL)).count, 100);
});

fileTest(
  "a process that is killed while it writes loses nothing it acknowledged, and counts nothing twice",
  async (folder) => {
    const path = `${folder}/eventhub.db`;
    let acknowledged = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const file = `${path}.${round}`;
      const child = startChild(file);
      await child.acknowledged(3 + 17 * round);
      const batches = await child.kill();
      acknowledged += batches.length;
      await using open = await openFile(file, { indexStepRows: 1_000 });
      for (const batch of batches) {
        const statuses = tally(await open.store.append(batchOf(batch)));
        assertEquals(Object.keys(statuses), ["duplicate"], `batch ${batch}`);
      }
      assertEquals((await open.store.verify(ALL)).differing, 0);
      assertCellsMatch(file);
      const kept = await listAll(open.store, { tenant: TENANT }, { limit: 1_000, order: "asc" });
      assertEquals((await open.store.count(ALL)).count, kept.length);
      assertEquals(behindItsBack(file, (database) => rows(database)), kept.length);
    }
    assert(acknowledged > 50);
  },
  ["run"],
);

fileTest("a batch that was cut by the kill is taken up where it was", async (folder) => {
  const path = `${folder}/eventhub.db`;
  const child = startChild(path);
  await child.acknowledged(9);
  const batches = await child.kill();
  await using open = await openFile(path);
  for (let batch = 0; batch < Math.max(...batches) + 3; batch++) {
    const statuses = Object.keys(tally(await open.store.append(batchOf(batch))));
    assert(statuses.every((status) => status === "stored" || status === "duplicate"), statuses.join(" "));
    assertEquals(tally(await open.store.append(batchOf(batch))), { duplicate: batchOf(batch).length });
  }
  assertEquals((await open.store.verify(ALL)).differing, 0);
}, ["run"]);

function rows(database: DatabaseSync): unknown {
  return database.prepare("select count(*) as count from events").get()!.count;
}
