/** The SQLite store as the suites want it, in a temporary folder. */
import { DatabaseSync } from "node:sqlite";
import { Histogram } from "../../src/histogram.ts";
import { HISTOGRAM_ID } from "../../src/storage/sqlite_cells.ts";
import { connectSqlite, SqliteDatabase, type SqliteOptions } from "../../src/storage/sqlite.ts";
import type { SqliteLog } from "../../src/storage/sqlite_log.ts";
import type { SqliteStore } from "../../src/storage/sqlite_store.ts";
import { SqliteTransfer } from "../../src/storage/sqlite_transfer.ts";
import { HOUR_MS, MINUTE_MS } from "../../src/window.ts";
import type { CellKey, StoreHarness } from "./conformance.ts";
import { events, HOUR, MINUTE, NOON, store } from "./conformance/events.ts";

/** Without these no SQLite file can be opened. */
export const SQLITE_NEEDS = ["read", "write"] as const;

/** One hub's view of a file, on one thread. */
export interface OpenSqlite extends AsyncDisposable {
  readonly database: SqliteDatabase;
  readonly store: SqliteStore;
  readonly log: SqliteLog;
  readonly transfer: SqliteTransfer;
}

/** Opens a file and connects this thread to it. */
export async function openFile(path: string, options: Omit<SqliteOptions, "path"> = {}): Promise<OpenSqlite> {
  const database = await SqliteDatabase.open({ path, ...options });
  const { ports } = database.ports();
  const { store, log } = await connectSqlite(ports);
  const transfer = new SqliteTransfer(ports.path, store);
  return {
    database,
    store,
    log,
    transfer,
    [Symbol.asyncDispose]: async () => {
      await transfer[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
      log[Symbol.dispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

/** A temporary folder that goes away. */
export function temporaryFolder(): { path: string } & AsyncDisposable {
  const path = Deno.makeTempDirSync({ prefix: "eventhub-" });
  return { path, [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }) };
}

/** Does something to the file behind the store's back. */
export function behindItsBack<T>(path: string, work: (database: DatabaseSync) => T): T {
  const database = new DatabaseSync(path, { timeout: 5_000 });
  try {
    return work(database);
  } finally {
    database.close();
  }
}

/** An empty SQLite store. */
export async function openSqlite(options: Omit<SqliteOptions, "path"> = {}): Promise<StoreHarness> {
  const folder = temporaryFolder();
  const path = `${folder.path}/data/eventhub.db`;
  let open = await openFile(path, options);
  return {
    get store() {
      return open.store;
    },
    get transfer() {
      return open.transfer;
    },
    settle: () => Promise.resolve(),
    corrupt: (cell) => Promise.resolve(behindItsBack(path, (database) => corrupt(database, cell))),
    reopen: async () => {
      await open[Symbol.asyncDispose]();
      open = await openFile(path, options);
    },
    [Symbol.asyncDispose]: async () => {
      await open[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

function corrupt(database: DatabaseSync, cell: CellKey): void {
  const { changes } = database.prepare(
    `update cells set count = count + 1 where span = ? and start = ?
       and tenant = (select id from tenants where name = ?)
       and type = (select t.id from event_types t join tenants n on n.id = t.tenant where n.name = ? and t.name = ?)`,
  ).run(cell.span === "hour" ? HOUR_MS : MINUTE_MS, cell.start, cell.tenant, cell.tenant, cell.eventType);
  if (changes !== 1) throw new Error(`Cannot corrupt a cell that is not there: ${cell.eventType} at ${cell.start}`);
}

/** Overwrites the pages of a file from one on; 0 is the first. */
export function damagePages(path: string, firstPage: number): void {
  const pageBytes = 4_096;
  using file = Deno.openSync(path, { write: true });
  const { size } = file.statSync();
  file.seekSync(firstPage * pageBytes, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(size - firstPage * pageBytes).fill(0xa5));
}

/** Types of {@link fillCells}. */
export const FILLED_TYPES = 100;

/** Fills the cells of many minutes from `NOON` on behind the store's back, a cell of each type in each, as no test could append them. */
export async function fillCells(path: string, minutes: number): Promise<void> {
  {
    await using open = await openFile(path);
    await store(open.store, events(FILLED_TYPES, (i) => ({ eventType: `type-${i}`, timestamp: NOON - HOUR })));
  }
  const histogram = new Histogram();
  histogram.add(5);
  const all = `with recursive minutes(at) as (select 0 union all select at + 1 from minutes where at + 1 < ${minutes})`;
  const start = `${NOON} + at * ${MINUTE}`;
  behindItsBack(path, (database) => {
    database.exec(
      `${all} insert into cells select ${MINUTE}, 1, ${start}, t.id, 1, 0, 5, 5, 5 from minutes, event_types t`,
    );
    database.prepare(`${all} insert into histograms select ${HISTOGRAM_ID}, ?
      from (select ${MINUTE} as span, ${start} as start, t.id as type from minutes, event_types t) c`)
      .run(histogram.encode());
  });
}

/** A test in a temporary folder; it is skipped, and says so, where a permission is missing. */
export function fileTest(
  name: string,
  run: (folder: string) => Promise<void>,
  needs: readonly Deno.PermissionDescriptor["name"][] = [],
): void {
  const missing = [...SQLITE_NEEDS, ...needs].filter((permission) =>
    Deno.permissions.querySync({ name: permission } as Deno.PermissionDescriptor).state !== "granted"
  );
  const lacking = missing.map((permission) => `--allow-${permission}`).join(" ");
  Deno.test({
    name: `sqlite: ${name}${lacking && ` (needs ${lacking}: deno task test)`}`,
    ignore: lacking !== "",
    fn: async () => {
      await using folder = temporaryFolder();
      await run(folder.path);
    },
  });
}

/** Another process that appends the batches of `sqlite_batches.ts` to a file. */
export function startChild(path: string) {
  const process = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", new URL("./sqlite_child.ts", import.meta.url).pathname, path],
    stdout: "piped",
  }).spawn();
  const lines = process.stdout.pipeThrough(new TextDecoderStream())[Symbol.asyncIterator]();
  let text = "";
  return {
    pid: process.pid,
    /** Waits until so many batches were acknowledged, and gives their numbers. */
    async acknowledged(count: number): Promise<number[]> {
      while (text.split("\n").length - 1 < count) {
        const { done, value } = await lines.next();
        if (done) throw new Error(`The process ended after: ${text}`);
        text += value;
      }
      return text.split("\n").slice(0, -1).map(Number);
    },
    /** Kills it without warning; gives everything it acknowledged. */
    async kill(): Promise<number[]> {
      process.kill("SIGKILL");
      for (let read = await lines.next(); !read.done; read = await lines.next()) text += read.value;
      await process.status;
      return text.split("\n").slice(0, -1).map(Number);
    },
  };
}
