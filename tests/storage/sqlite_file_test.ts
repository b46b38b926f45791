/** The SQLite file: who may open it, what stays in it, and what must not. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertRejects } from "@std/assert";
import { SqliteDatabase } from "../../src/storage/sqlite.ts";
import { SCHEMA_VERSION } from "../../src/storage/sqlite_schema.ts";
import { event, events, HOUR, idsOf, MINUTE, NOON, store, TENANT } from "./conformance/events.ts";
import { listAll, query, totalOf } from "./conformance/model.ts";
import { behindItsBack, damagePages, fileTest, openFile, startChild } from "./sqlite.ts";

const ALL = { tenant: TENANT, from: NOON - 24 * HOUR, to: NOON + 24 * HOUR };

async function refusal(path: string): Promise<string> {
  const error = await assertRejects(() => SqliteDatabase.open({ path }), Error);
  assert(error.message.startsWith(`Cannot open ${path}: `), error.message);
  return error.message;
}

fileTest("a second hub on the file is refused and told who has it, by whatever name it comes", async (folder) => {
  const path = `${folder}/eventhub.db`;
  {
    await using _first = await openFile(path);
    const holder = new RegExp(`another hub has it open \\(process ${Deno.pid}, since 20\\d\\d-`);
    assertMatch(await refusal(path), holder);
    Deno.symlinkSync(path, `${folder}/other.db`);
    await assertRejects(() => SqliteDatabase.open({ path: `${folder}/other.db` }), Error, "another hub has it open");
    await assertRejects(() => SqliteDatabase.open({ path: `${folder}/./x/../eventhub.db` }), Error, "another hub");
  }
  await using again = await openFile(path);
  assertEquals((await again.store.health()).ok, true);
});

fileTest("the lock of a process that is dead is taken over", async (folder) => {
  const path = `${folder}/eventhub.db`;
  const child = startChild(path);
  await child.acknowledged(1);
  assertMatch(await refusal(path), new RegExp(`process ${child.pid}, since`));
  await child.kill();
  await using open = await openFile(path);
  assertEquals((await open.store.health()).ok, true);
}, ["run"]);

fileTest("a file of a newer version is refused, and left as it was", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await (await openFile(path))[Symbol.asyncDispose]();
  behindItsBack(path, (database) => database.exec(`pragma user_version = ${SCHEMA_VERSION + 1}`));
  assertMatch(await refusal(path), /newer Event Hub \(version 2 of the tables; this one knows up to 1\)/);
  const version = behindItsBack(path, (database) => database.prepare("pragma user_version").get());
  assertEquals(version?.user_version, SCHEMA_VERSION + 1);
});

fileTest("what is no database, another program's, or cannot be made is refused with the reason", async (folder) => {
  const text = `${folder}/text.db`;
  Deno.writeTextFileSync(text, "no database at all ".repeat(1_000));
  assertMatch(await refusal(text), /it is not a SQLite file/);
  const foreign = `${folder}/foreign.db`;
  behindItsBack(foreign, (database) => database.exec("create table songs(title text)"));
  assertMatch(await refusal(foreign), /a SQLite file of another program/);
  assertMatch(await refusal(`${text}/eventhub.db`), /its folder is a file/);
  Deno.mkdirSync(`${folder}/folder.db`);
  assertMatch(await refusal(`${folder}/folder.db`), /it is a folder/);
});

fileTest("a file that is damaged beyond its first page is named, with what to do", async (folder) => {
  for (const firstPage of [1, 40]) {
    const path = `${folder}/${firstPage}.db`;
    {
      await using open = await openFile(path);
      await store(open.store, events(5_000));
    }
    damagePages(path, firstPage);
    assertMatch(await refusal(path), /the file is damaged; restore a backup/);
  }
});

fileTest("a folder that takes no files is named", async (folder) => {
  // Permissions do not bind root; nobody can make a file in /proc.
  Deno.mkdirSync(`${folder}/closed`, { mode: 0o555 });
  const closed = Deno.uid() === 0 ? "/proc" : `${folder}/closed`;
  assertMatch(await refusal(`${closed}/eventhub.db`), /this process may not write there|no file can be made there/);
}, ["sys"]);

fileTest("a file that may not be written is named", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await (await openFile(path))[Symbol.asyncDispose]();
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-read", new URL("./sqlite_child.ts", import.meta.url).pathname, path],
  }).output();
  assertMatch(new TextDecoder().decode(stderr), /Cannot open .*eventhub\.db: this process may not write there/);
}, ["run"]);

fileTest("a restart keeps everything, and goes on counting where it was", async (folder) => {
  const path = `${folder}/deep/er/eventhub.db`;
  const all = events(10_000, (i) => ({
    timestamp: NOON + (i * 7919) % (3 * HOUR),
    userId: `user-${i % 97}`,
    amount: i - 5_000,
    eventType: i % 3 === 0 ? "return" : "purchase",
  }));
  const asked = query({ from: NOON, to: NOON + 3 * HOUR, percentiles: true, groupByType: true });
  const before = await (async () => {
    await using open = await openFile(path);
    await store(open.store, all.slice(0, 7_000));
    await store(open.store, all.slice(7_000));
    return { rows: await open.store.aggregate(asked), newest: open.log.newest(), epoch: open.log.epoch };
  })();
  await using open = await openFile(path);
  assertEquals(await open.store.aggregate(asked), before.rows);
  assertEquals([open.log.newest(), open.log.epoch], [before.newest, before.epoch]);
  assertEquals(await open.store.count(ALL), totalOf(all, ALL));
  assertEquals((await open.store.verify(ALL)).differing, 0);
  const ofUser = { tenant: TENANT, userId: "user-5" };
  const found = await listAll(open.store, ofUser, { limit: 50, order: "asc" });
  assertEquals(found.length, all.filter((one) => one.userId === "user-5").length);
  assertEquals(new Set(await open.store.append(all)), new Set(["duplicate"]));
  await store(open.store, [event()]);
  assert(open.log.newest().seq > before.newest.seq);
});

fileTest("a number of the log is never used again, also after a purge of the newest and a restart", async (folder) => {
  const path = `${folder}/eventhub.db`;
  let newest = 0;
  for (let round = 0; round < 3; round++) {
    await using open = await openFile(path);
    await store(
      open.store,
      events(10, (i) => ({ timestamp: NOON + round * MINUTE + i, receivedAt: NOON + HOUR + round })),
    );
    assert(open.log.newest().seq >= newest + 10);
    newest = open.log.newest().seq;
    assertEquals(await open.store.purge(NOON + HOUR + round + 1), 10);
    assertEquals(open.log.newest().seq, newest);
  }
});

fileTest("what is erased is in no byte of the file or its log", async (folder) => {
  const path = `${folder}/eventhub.db`;
  const secret = (text: string) => ({ userId: `erika-${text}`, properties: JSON.stringify({ note: `note-${text}` }) });
  await using open = await openFile(path, { indexStepRows: 500 });
  for (let batch = 0; batch < 5; batch++) {
    const mixed = events(
      1_500,
      (i) => ({ timestamp: NOON + i * 100, ...(i % 3 === 0 ? secret("gone") : secret("kept")) }),
    );
    mixed.push(event({ ...secret("gone"), properties: JSON.stringify({ note: "note-gone".repeat(1_700) }) }));
    await store(open.store, mixed);
  }
  // Whether a checkpoint has already brought it from the log to the file is a matter of time.
  const found = (text: string) => contains(path, text) || contains(`${path}-wal`, text);
  assert(found("note-gone") && found("erika-gone"));
  assertEquals(await open.store.erase(TENANT, "erika-gone"), 2_505);
  for (const file of [path, `${path}-wal`]) {
    assert(!contains(file, "erika-gone"), `the user is in ${file}`);
    assert(!contains(file, "note-gone"), `the properties are in ${file}`);
  }
  assert(found("note-kept") && found("erika-kept"));
  assertEquals((await open.store.verify(ALL)).differing, 0);
});

fileTest("cursors of another file and of a restored one are told apart", async (folder) => {
  await using first = await openFile(`${folder}/first.db`);
  await using second = await openFile(`${folder}/second.db`);
  assertNotEquals(first.log.epoch, second.log.epoch);
});

fileTest("the log of the database stays short under load with readers beside it", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await using open = await openFile(path);
  let reading = true;
  const readers = [0, 1].map(async () => {
    while (reading) {
      await listAll(open.store, { tenant: TENANT, from: NOON, to: NOON + 1_000 }, { limit: 100, order: "desc" });
      open.log.read({ after: 0, limit: 500 });
    }
  });
  let longest = 0;
  for (let batch = 0; batch < 60; batch++) {
    await store(open.store, events(2_000, (i) => ({ timestamp: NOON + batch * MINUTE + i })));
    longest = Math.max(longest, Deno.statSync(`${path}-wal`).size);
  }
  reading = false;
  await Promise.all(readers);
  assert(longest < 40 * 1024 * 1024, `${longest} bytes`);
  assertEquals(idsOf(open.log.read({ after: 0, limit: 1 }).map((row) => row.event!)).length, 1);
});

function contains(path: string, text: string): boolean {
  const bytes = Deno.readFileSync(path);
  const wanted = new TextEncoder().encode(text);
  for (let at = bytes.indexOf(wanted[0]!); at !== -1; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}
