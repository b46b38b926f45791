/** How the threads of the SQLite store speak: what waits is bounded in number and in time, and nothing waits for ever. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { HubError } from "../../src/errors.ts";
import { AGGREGATE_ROWS_MAX, SQLITE_CALLS_PENDING_MAX, SQLITE_HEALTH_MS } from "../../src/limits.ts";
import { connectSqlite } from "../../src/storage/sqlite.ts";
import { SqliteStore } from "../../src/storage/sqlite_store.ts";
import { events, MINUTE, NOON, TENANT } from "./conformance/events.ts";
import { query } from "./conformance/model.ts";
import { fileTest, fillCells, openFile } from "./sqlite.ts";

/** What a store asks of its Workers. */
interface Asked {
  readonly kind: string;
  readonly call: number;
}

/** A Worker that notes what it is asked and answers what the test tells it to. */
class FakeWorker implements Disposable {
  readonly asked: Asked[] = [];
  readonly #channel = new MessageChannel();
  #waiter: { count: number; resolve: () => void } | null = null;

  constructor() {
    this.#channel.port1.onmessage = ({ data }: MessageEvent<Asked>) => {
      this.asked.push(data);
      if (this.#waiter !== null && this.asked.length >= this.#waiter.count) this.#waiter.resolve();
    };
  }

  /** The end that the store gets. */
  get port(): MessagePort {
    return this.#channel.port2;
  }

  /** Resolves when it was asked so many things. */
  whenAsked(count: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.asked.length >= count) resolve();
      else this.#waiter = { count, resolve };
    });
  }

  answer(call: number, value: unknown): void {
    this.#channel.port1.postMessage({ kind: "done", call, value });
  }

  [Symbol.dispose](): void {
    this.#channel.port1.close();
    this.#channel.port2.close();
  }
}

/** A store over Workers that the test plays. */
async function openFakes(options: { questionMs: number } = { questionMs: 60_000 }) {
  const control = new MessageChannel();
  const store = new SqliteStore(control.port2, options);
  const workers: FakeWorker[] = [];
  const connect = (kind: "writer" | "reader"): FakeWorker => {
    const worker = new FakeWorker();
    workers.push(worker);
    control.port1.postMessage({ kind, port: worker.port }, [worker.port]);
    return worker;
  };
  const fakes = {
    store,
    writer: connect("writer"),
    reader: connect("reader"),
    connect,
    /** Says that a Worker died. */
    lose: (kind: "writer" | "reader") => control.port1.postMessage({ kind, port: null }),
    [Symbol.asyncDispose]: async () => {
      fakes.lose("writer");
      fakes.lose("reader");
      await store[Symbol.asyncDispose]();
      control.port1.close();
      for (const worker of workers) worker[Symbol.dispose]();
    },
  };
  await store.attached;
  return fakes;
}

async function codeOf(answer: Promise<unknown>): Promise<string> {
  return (await assertRejects(() => answer, HubError)).code;
}

Deno.test("sqlite: beyond so many questions that wait, the next is overloaded; events are taken all the same", async () => {
  await using fakes = await openFakes();
  const { store, reader, writer } = fakes;
  const waiting = Array.from({ length: SQLITE_CALLS_PENDING_MAX }, (_, i) => store.get(TENANT, `event-${i}`));
  assertEquals(await codeOf(store.get(TENANT, "one-more")), "overloaded");
  await reader.whenAsked(SQLITE_CALLS_PENDING_MAX);
  assertEquals(reader.asked.length, SQLITE_CALLS_PENDING_MAX);
  const appending = store.append(events(1));
  await writer.whenAsked(2);
  writer.answer(writer.asked.at(-1)!.call, { statuses: null });
  assertEquals(await appending, ["stored"]);
  for (const { call } of reader.asked) reader.answer(call, null);
  assertEquals(await Promise.all(waiting), waiting.map(() => null));
  const next = store.get(TENANT, "next");
  await reader.whenAsked(SQLITE_CALLS_PENDING_MAX + 1);
  reader.answer(reader.asked.at(-1)!.call, null);
  assertEquals(await next, null);
});

Deno.test("sqlite: a question that is not answered in time is given up, and the reader is told", async () => {
  await using fakes = await openFakes({ questionMs: 1 });
  const { store, reader } = fakes;
  const range = { tenant: TENANT, from: NOON, to: NOON + MINUTE };
  assertEquals(await codeOf(store.count(range)), "deadline_exceeded");
  assertEquals(await codeOf(store.list({ tenant: TENANT }, { limit: 1, order: "asc" })), "deadline_exceeded");
  await reader.whenAsked(4);
  const withdrawn = reader.asked.filter(({ kind }) => kind === "withdraw").map(({ call }) => call);
  assertEquals(withdrawn, reader.asked.filter(({ kind }) => kind !== "withdraw").map(({ call }) => call));
});

Deno.test("sqlite: health does not wait for Workers that are busy, and does not ask them twice", async () => {
  await using fakes = await openFakes();
  {
    using time = new FakeTime();
    const asked = Array.from({ length: 10 }, () => fakes.store.health());
    time.tick(SQLITE_HEALTH_MS);
    for (const { ok, detail } of await Promise.all(asked)) {
      assertEquals(ok, false);
      assert(detail.includes("did not answer"), detail);
    }
  }
  await fakes.reader.whenAsked(1);
  assertEquals(fakes.reader.asked.filter(({ kind }) => kind === "ping").length, 1);
});

Deno.test("sqlite: what was asked of a Worker that died is unavailable at once, and the next one tells of commits", async () => {
  const fakes = await openFakes();
  const { store } = fakes;
  const [asked, appended, erased] = [store.get(TENANT, "a"), store.append(events(2)), store.erase(TENANT, "user-1")];
  let told = 0;
  store.watch(() => told++, 0);
  const changed: unknown[] = [];
  store.watchCells((cells) => changed.push(cells), 0);
  fakes.lose("reader");
  fakes.lose("writer");
  const isLost = Promise.withResolvers<"never answered">();
  // The store hears of the next writer after it heard of the deaths.
  fakes.connect("writer").whenAsked(1).then(() => isLost.resolve("never answered"));
  assertEquals(await Promise.race([codeOf(asked), isLost.promise]), "unavailable");
  assertEquals(await Promise.race([codeOf(erased), isLost.promise]), "unavailable");
  assertEquals(await Promise.race([appended, isLost.promise]), ["unavailable", "unavailable"]);
  assertEquals(await codeOf(store.get(TENANT, "a")), "unavailable");
  await isLost.promise;
  assertEquals(changed, ["all"]);
  assertEquals(told, 1, "events may have been stored while there was no writer to hear of them from");
  await fakes[Symbol.asyncDispose]();
});

fileTest("signs of life are given ahead of questions, and what was given up is not worked on", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await fillCells(path, AGGREGATE_ROWS_MAX);
  await using open = await openFile(path);
  const impatient = await connectSqlite(open.database.ports().ports, { questionMs: 100 });
  const to = NOON + AGGREGATE_ROWS_MAX * MINUTE;
  // Half a minute of work, for which nobody waits any more after 100 ms.
  const wide = Array.from({ length: 30 }, () => codeOf(impatient.store.aggregate(query({ from: NOON, to }))));
  assertEquals((await open.store.health()).ok, true);
  assertEquals(new Set(await Promise.all(wide)), new Set(["deadline_exceeded"]));
  const patient = await connectSqlite(open.database.ports().ports, { questionMs: 10_000 });
  assertEquals((await patient.store.aggregate(query({ from: NOON, to: NOON + MINUTE }))).length, 1);
  for (const { store, log } of [impatient, patient]) {
    await store[Symbol.asyncDispose]();
    log[Symbol.dispose]();
  }
});
