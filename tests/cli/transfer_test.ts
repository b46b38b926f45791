/** Moving a store over the command line: what is in one is in the other, exactly. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { MongoClient } from "mongodb";
import { importFile } from "../../src/cli/import_file.ts";
import { openTransfer } from "../../src/app_transfer.ts";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { mongoLacking, mongoUrl, newDatabaseName } from "../services/mongo.ts";
import { event, events, HOUR, NOON, store, TENANT } from "../storage/conformance/events.ts";
import { openMongodb } from "../storage/mongodb.ts";
import { openFile } from "../storage/sqlite.ts";
import { processTest } from "./process.ts";
import { countsOf, countsOfFile, fill, fillStore, FROZEN_MINUTE, runTransfer, workFolder } from "./transfer.ts";

const lacking = mongoLacking();

function mongoTest(name: string, fn: () => Promise<void>): void {
  processTest(`transfer: ${name}`, fn, { lacking });
}

mongoTest("what is frozen stays so in MongoDB, nothing is handed out, and the file can be given again", async () => {
  await using folder = workFolder();
  await using target = await openMongodb({ isPublished: true });
  await fillStore(folder, "first", 2_000);
  const env = { EVENTHUB_STORE_URL: folder.store("first") };
  const exported = await runTransfer(folder, ["export"], { out: "a.ndjson", env });
  assertEquals(exported, { code: 0, stdout: "", stderr: "1,500 events, and cells of 500 purged ones\n" });
  const run = () => runTransfer(folder, ["import", "--store", target.url, "a.ndjson"]);
  for (const told of [/1,500 stored, 0 there already/, /0 stored, 1,500 there already/]) {
    const imported = await run();
    assertEquals({ code: imported.code, stderr: imported.stderr }, { code: 0, stderr: "" });
    assertMatch(imported.stdout, told);
    assertMatch(imported.stdout, /compared: totals of 8 tenants and types, 2,000 events\n/);
    assertStringIncludes(imported.stdout, "Everything agrees.");
  }
  const source = await countsOfFile(folder, "first");
  assertEquals(await countsOf(target.transfer), source);
  const report = await target.store.rebuild({ tenant: TENANT, from: NOON - HOUR, to: NOON + 24 * HOUR });
  assert(report.frozenMinutes > 100 && report.differing === 0, JSON.stringify(report));
  assertEquals(await countsOf(target.transfer), source, "a rebuild leaves frozen minutes alone");
  assertEquals(await target.store.append([event({ timestamp: FROZEN_MINUTE })]), ["purged"]);
  assertEquals(await target.store.publications.unpublished(10), [], "nothing of it is handed out");
});

processTest("transfer: from file to file, and back into the first, which knows everything", async () => {
  await using folder = workFolder();
  await fillStore(folder, "first", 2_000);
  assertEquals((await runTransfer(folder, ["export", "--store", folder.store("first")], { out: "a.ndjson" })).code, 0);
  const deaf = await runTransfer(folder, ["export", "--store", folder.store("first")], { deaf: true });
  assertEquals(deaf.code, 1, "nobody took the export");
  assertMatch(deaf.stderr, /^Standard output was closed before the end/);
  const there = await runTransfer(folder, ["import", "a.ndjson"]);
  assertEquals(there.code, 0, there.stderr);
  assertEquals(Deno.statSync(folder.file("data/eventhub.db")).isFile, true, "the default store");
  assertEquals(await countsOfFile(folder, "eventhub"), await countsOfFile(folder, "first"));
  const home = await runTransfer(folder, ["import", "--store", folder.store("first"), "a.ndjson"]);
  assertEquals(home.code, 0, home.stderr);
  assertMatch(
    home.stdout,
    /events: 0 stored, 1,500 there already\nminutes of purged events: 0 added, \d+ there already/,
  );
});

mongoTest("beside a hub that purges and sweeps, nothing is lost, refused or handed out", async () => {
  await using folder = workFolder();
  await fillStore(folder, "first", 3_000);
  assertEquals((await runTransfer(folder, ["export", "--store", folder.store("first")], { out: "a.ndjson" })).code, 0);
  await using target = await openMongodb({ isPublished: true });
  const live = events(200, (i) => ({ id: `live-${i}`, timestamp: NOON + 20 * HOUR + i, receivedAt: Date.now() }));
  let isOver = false;
  const hub = async () => {
    for (let i = 0; !isOver; i++) {
      if (i < live.length) await store(target.store, [live[i]!]);
      await target.store.settler.sweep({ ageMs: 10_000 });
      await target.store.purge(Date.now());
    }
  };
  const running = hub();
  const imported = await runTransfer(folder, ["import", "--store", target.url, "a.ndjson"]);
  isOver = true;
  await running;
  assertEquals(imported.code, 0, imported.stderr + imported.stdout);
  assertMatch(imported.stdout, /[1-9]\d* of them stored by others meanwhile/);
  for (const one of await target.store.publications.unpublished(5_000)) assertMatch(one.event.id, /^live-/);
  const range = { tenant: TENANT, from: NOON - HOUR, to: NOON + 24 * HOUR };
  await target.store.settle();
  assertEquals((await target.store.verify(range)).differing, 0);
  let count = 0;
  for (const tenant of [TENANT, "shop-2"]) count += (await target.store.count({ ...range, tenant })).count;
  assert(count > 3_000 && count <= 3_000 + live.length, `${count}`);
});

mongoTest("a document changed by hand is told by its id, with what makes an export possible again", async () => {
  await using folder = workFolder();
  await using source = await openMongodb();
  const all = events(3, (i) => ({ id: `order-${i}`, timestamp: NOON + i }));
  await store(source.store, all);
  await source.settle();
  const documents = source.database.collection<{ _id: string }>("events");
  const _id = `${TENANT}:order-1`;
  const range = { tenant: TENANT, from: NOON, to: NOON + HOUR };
  const run = () => runTransfer(folder, ["export", "--store", source.url], { out: "a.ndjson" });
  const amount = (await documents.findOne({ _id }) as unknown as { amount: unknown }).amount;
  const remedies = [
    () => documents.updateOne({ _id }, { $set: { amount } }),
    () => documents.deleteOne({ _id }),
  ];
  for (const [i, remedy] of remedies.entries()) {
    await documents.updateOne({ _id }, { $set: { amount: "much" } });
    const { code, stderr } = await run();
    assertEquals(code, 1);
    assertMatch(
      stderr,
      /^default:order-1 was changed by hand .*\n1 documents are no events any more.* Mend or delete .*"rollups rebuild"/,
    );
    assertEquals(stderr.includes("rollups verify"), false, stderr);
    await remedy();
    await source.store.rebuild(range);
    const again = await run();
    assertEquals(again, { code: 0, stdout: "", stderr: `${3 - i} events, and cells of 0 purged ones\n` });
  }
});

mongoTest("a database whose name is mistyped is told, and not created", async () => {
  await using folder = workFolder();
  await using source = await openMongodb();
  const mistyped = `${source.database.databaseName}x`;
  const client = new MongoClient(mongoUrl(mistyped));
  await using _closing = { [Symbol.asyncDispose]: () => client.close() };
  const run = () => runTransfer(folder, ["export", "--store", mongoUrl(mistyped)]);
  const { code, stdout, stderr } = await run();
  assertEquals([code, stdout], [1, ""]);
  assertMatch(
    stderr,
    /^Cannot open mongodb:\S+ \(--store\): the database \w+x holds no store of Event Hub; is its name/,
  );
  assertEquals(await client.db().listCollections().toArray(), []);
  await client.db().collection("events").insertOne({ user_id: "of the prototype" });
  assertEquals((await run()).code, 1);
  assertEquals((await client.db().listCollections().toArray()).map(({ name }) => name), ["events"]);
  await client.db().dropDatabase();
  assertEquals((await runTransfer(folder, ["export", "--store", source.url])).code, 0, "an empty store is one");
});

mongoTest("an import that was cut anywhere is run again", async () => {
  await using folder = workFolder();
  await fillStore(folder, "first", 3_000);
  assertEquals((await runTransfer(folder, ["export", "--store", folder.store("first")], { out: "a.ndjson" })).code, 0);
  const expected = await countsOfFile(folder, "first");
  const path = folder.file("a.ndjson");
  const signal = new AbortController().signal;
  for (const url of [mongoUrl(newDatabaseName()), `sqlite:${folder.file("data/second.db")}`]) {
    for (const { method, calls } of [{ method: "addPurged", calls: 2 }, { method: "append", calls: 2 }] as const) {
      await using open = await openTransfer(url, { mustExist: false });
      let left: number = calls;
      const cut = new Proxy(open.transfer, {
        get: (target, name) => {
          const value = Reflect.get(target, name);
          if (typeof value !== "function") return value;
          return (...args: unknown[]) => {
            if (name === method && left-- === 0) throw new Error("cut");
            return value.apply(target, args);
          };
        },
      });
      await importFile(path, { ...open, store: open.store, transfer: cut }, { signal }).then(
        () => assert(false, "it was not cut"),
        (error) => assertEquals(error.message, "cut"),
      );
    }
    {
      await using hub = url.startsWith("sqlite:")
        ? await openFile(folder.file("data/second.db"))
        : await MongodbStore.open({ url, isPublished: false });
      const held = "store" in hub ? hub.store : hub;
      await held.settle();
      assertEquals(await held.purge(NOON + 30 * HOUR), 0, "retention waits until the import is complete");
    }
    const again = await runTransfer(folder, ["import", "--store", url, "a.ndjson"], {});
    assertEquals(again.code, 0, again.stderr + again.stdout);
    await using open = await openTransfer(url, { mustExist: true });
    assertEquals(await countsOf(open.transfer), expected);
  }
});

processTest("transfer: an import is given up by a word, and then retention purges again", async () => {
  await using folder = workFolder();
  const path = folder.file("data/target.db");
  {
    await using target = await openFile(path);
    await store(target.store, [event({ receivedAt: NOON })]);
    await target.transfer.beginImport();
  }
  const run = (...args: string[]) => runTransfer(folder, ["import", "--store", folder.store("target"), ...args]);
  assertEquals((await run("--abandon", "a.ndjson")).code, 2);
  {
    await using target = await openFile(path);
    assertEquals(await target.store.purge(NOON + 30 * HOUR), 0);
  }
  const { code, stdout } = await run("--abandon");
  assertEquals([code, stdout], [0, "Retention purges there again. What was imported stays.\n"]);
  await using target = await openFile(path);
  assertEquals(await target.store.purge(NOON + 30 * HOUR), 1);
});

processTest("transfer: events merge by id, and a conflict is told by its id and replaces nothing", async () => {
  await using folder = workFolder();
  {
    await using source = await openFile(folder.file("data/source.db"));
    await store(source.store, events(10, (i) => ({ id: `order-${i}`, amount: i })));
    await using target = await openFile(folder.file("data/target.db"));
    await store(target.store, events(3, (i) => ({ id: `order-${i + 4}`, amount: i === 1 ? 77 : i + 4 })));
    await store(target.store, [event({ id: "own", tenant: "another" })]);
  }
  assertEquals((await runTransfer(folder, ["export", "--store", folder.store("source")], { out: "a.ndjson" })).code, 0);
  const { code, stdout, stderr } = await runTransfer(folder, ["import", "--store", folder.store("target"), "a.ndjson"]);
  assertEquals(code, 1);
  assertMatch(stderr, /^line 7: event order-5 of tenant default was not taken: .*other content/);
  assertMatch(stdout, /events: 7 stored, 2 there already/);
  assertMatch(stdout, /The store holds other events, too/);
  await using target = await openFile(folder.file("data/target.db"));
  assertEquals((await target.store.get(TENANT, "order-5"))?.amount, 77);
});

processTest(
  "transfer: a store that counts other things in a frozen minute, or refuses an event, is left as it is",
  async () => {
    await using folder = workFolder();
    await fillStore(folder, "source", 400);
    assertEquals(
      (await runTransfer(folder, ["export", "--store", folder.store("source")], { out: "a.ndjson" })).code,
      0,
    );
    for (const name of ["events", "purges"]) {
      {
        await using target = await openFile(folder.file(`data/${name}.db`));
        const own = events(60, (i) => ({ timestamp: NOON + i * 60_000, receivedAt: NOON, eventType: "purchase" }));
        await store(
          target.store,
          name === "events" ? own : own.map((one) => ({ ...one, timestamp: NOON + 30 * HOUR })),
        );
        if (name === "purges") await target.store.purge(NOON + 31 * HOUR);
      }
      const before = await countsOfFile(folder, name);
      const { code, stdout, stderr } = await runTransfer(folder, ["import", "--store", folder.store(name), "a.ndjson"]);
      assertEquals([code, stdout], [1, ""]);
      assertMatch(
        stderr,
        name === "events"
          ? /^line \d+: the minute 2026-01-15T12:\d\d:00.000Z of tenant default holds other events/
          : /line \d+: event order-\d+ of tenant \S+ is too old: the store has purged until 2026-01-16T18:00:00.000Z/,
      );
      assertStringIncludes(stderr, "Nothing was imported.");
      assertEquals(await countsOfFile(folder, name), before);
    }
  },
);

processTest("transfer: what a cell has wrong in the target is noticed", async () => {
  await using folder = workFolder();
  await fillStore(folder, "source", 400);
  assertEquals((await runTransfer(folder, ["export", "--store", folder.store("source")], { out: "a.ndjson" })).code, 0);
  const run = () => runTransfer(folder, ["import", "--store", folder.store("target"), "a.ndjson"]);
  assertEquals((await run()).code, 0);
  const { behindItsBack } = await import("../storage/sqlite.ts");
  const faults: [string, RegExp][] = [
    [
      "update cells set max = max + 1 where span = 60000 and start = (select max(start) from cells where span = 60000)",
      /is not what its events add up to/,
    ],
    [
      "update cells set max = max + 1 where span = 60000 and start = (select min(start) from cells where span = 60000)",
      /cells of minutes are not those of the source/,
    ],
    ["update cells set sum_low = sum_low + 1 where span = 3600000", /the cell of \w+ of the hour/],
    [
      "delete from cells where span = 60000 and start = (select min(start) from cells where span = 60000)",
      /the hour|is not/,
    ],
  ];
  for (const [sql, expected] of faults) {
    const copy = folder.file("data/target.db");
    Deno.copyFileSync(copy, `${copy}.sound`);
    behindItsBack(copy, (database) => database.exec(sql));
    const { code, stderr } = await run();
    assertEquals(code, 1, sql);
    assertMatch(stderr, expected, sql);
    for (const suffix of ["-wal", "-shm"]) await Deno.remove(copy + suffix).catch(ignoreMissing);
    Deno.renameSync(`${copy}.sound`, copy);
  }
  assertEquals((await run()).code, 0);
});

function ignoreMissing(error: unknown): void {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}

processTest("transfer: what cannot be opened is told in a sentence", async () => {
  await using folder = workFolder();
  const failing = async (args: string[], expected: RegExp, options: { task?: string; code?: number } = {}) => {
    const { code, stdout, stderr } = await runTransfer(folder, args, options);
    assertEquals({ code, stdout }, { code: options.code ?? 1, stdout: "" }, args.join(" "));
    assertMatch(stderr, expected);
    assert(!/\n {4}at /.test(stderr), stderr);
  };
  await failing(
    ["export", "--store", folder.store("none")],
    /^Cannot open \.\/data\/none\.db: there is no such file\n$/,
  );
  await failing(["export", "--store", "memory:"], /ends with it/);
  await failing(["export", "--store", "redis://x"], /is no store/);
  await failing(
    ["import", "--store", folder.store("new"), "none.ndjson"],
    /Cannot read none\.ndjson: there is no such file/,
  );
  await failing(["import"], /Name either the file of an export, or --from-prototype/, { code: 2 });
  await failing(["import", "a.ndjson", "--from-prototype", "mongodb://x"], /Name either/, { code: 2 });
  await failing(["import", "--from-prototype", "http://x"], /must be mongodb/, { code: 2 });
  await failing(["export"], /"deno task transfer" instead of "deno task cli"/, { task: "cli" });
  await failing(["import", "--nonsense"], /"deno task transfer import --help" tells more/, { code: 2 });
  const help = await runTransfer(folder, ["export", "--help"]);
  assertMatch(help.stdout, /^Usage: deno task transfer export \[options\]\n/);
  assertStringIncludes(help.stdout, "a URL with a password belongs into EVENTHUB_STORE_URL");
  await using _hub = await openFile(folder.file("data/busy.db"));
  await failing(
    ["export", "--store", folder.store("busy")],
    /another hub has it open \(process \d+, since .*\)\. Stop it first/,
  );
});

mongoTest("a purge waits while a store is moved, and a move that died holds it up for a minute at most", async () => {
  await using harness = await openMongodb();
  await fill(harness.store, 100);
  await store(harness.store, events(5, () => ({ timestamp: NOON + 11 * HOUR, receivedAt: NOON + 20 * HOUR })));
  await harness.settle();
  const border = NOON + 21 * HOUR;
  await using other: MongodbStore = await harness.another();
  await other.transfer.begin();
  assertEquals(await harness.store.purge(border), 0);
  await other.transfer[Symbol.asyncDispose]();
  const meta = harness.database.collection<{ _id: string; until: Date }>("meta");
  await meta.insertOne({ _id: "move:dead", until: new Date(Date.now() - 1) });
  assert(await harness.store.purge(border) > 0);
  await harness.transfer.begin();
  assertEquals((await meta.find({ _id: { $regex: "^move:" } }).toArray()).length, 1, "the dead one is gone");
});
