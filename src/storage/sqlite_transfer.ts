/** Moves what a SQLite file holds: reads over a connection of its own, and has the writer add. */
import type { DatabaseSync } from "node:sqlite";
import type { Event } from "../event.ts";
import { Histogram } from "../histogram.ts";
import { SQLITE_TAIL_CACHE_KIBIBYTES } from "../limits.ts";
import type { AppendStatus } from "../storage.ts";
import {
  type CellGroup,
  type CellPage,
  type CellPageRequest,
  type CountedCell,
  type EventsPage,
  type PurgedCellsStatus,
  purgedOf,
  type StoreTransfer,
} from "../transfer.ts";
import { HOUR_MS, MINUTE_MS, minuteOf } from "../window.ts";
import { HISTOGRAM_ID } from "./sqlite_cells.ts";
import { EVENT_COLUMNS, eventOf } from "./sqlite_columns.ts";
import { openForReading, Query, readTransaction } from "./sqlite_connection.ts";
import { Names } from "./sqlite_names.ts";
import { RecountQueries } from "./sqlite_recount_queries.ts";
import { LogStateQuery } from "./sqlite_schema.ts";
import type { SqliteStore } from "./sqlite_store.ts";
import { cellsOfHour, countedOf, toSent } from "./sqlite_transfer_job.ts";

type CellRow = [number, number, number, number, number, number, number, Uint8Array | null];

/** Moves one file. The store is its only user: the lock on the file keeps hubs away. */
export class SqliteTransfer implements StoreTransfer {
  readonly #store: SqliteStore;
  readonly #database: DatabaseSync;
  readonly #names: Names;
  readonly #state: LogStateQuery;
  readonly #recounts: RecountQueries;
  readonly #tenants: Query;
  readonly #rows: Query;
  readonly #starts: Query;
  readonly #cells: Query;

  constructor(path: string, store: SqliteStore) {
    const database = openForReading(path, { cacheKibibytes: SQLITE_TAIL_CACHE_KIBIBYTES });
    this.#store = store;
    this.#database = database;
    this.#names = new Names(database);
    this.#state = new LogStateQuery(database);
    this.#recounts = new RecountQueries(database);
    this.#tenants = new Query(database, "select name from tenants");
    this.#rows = new Query(database, `select ${EVENT_COLUMNS} from events where seq > ? order by seq limit ?`);
    this.#starts = new Query(
      database,
      "select distinct start from cells where span = ? and tenant = ? and start >= ? order by start limit ?",
    );
    this.#cells = new Query(
      database,
      `select start, type, count, sum_high, sum_low, min, max, buckets
       from cells c left join histograms h on h.id = ${HISTOGRAM_ID}
       where span = ? and tenant = ? and start >= ? and start <= ?`,
    );
  }

  async begin(): Promise<void> {
    await this.#store.move({ kind: "index" });
  }

  async beginImport(): Promise<void> {
    await this.#store.move({ kind: "import", isUnderWay: true });
  }

  async endImport(): Promise<void> {
    await this.#store.move({ kind: "import", isUnderWay: false });
  }

  // deno-lint-ignore require-await -- what the database says makes it reject, not throw
  async tenants(): Promise<readonly string[]> {
    return this.#tenants.all().map((row) => row[0] as string).sort();
  }

  // deno-lint-ignore require-await -- as above
  async refusedThrough(): Promise<number | null> {
    const { purgedThrough } = this.#state.read();
    return purgedThrough < 0 ? null : purgedThrough;
  }

  // deno-lint-ignore require-await -- as above
  async events({ after, limit }: { after: string | null; limit: number }): Promise<EventsPage> {
    const rows = this.#rows.all(Number(after ?? 0), limit);
    return {
      events: rows.map((row) => eventOf(row, this.#names)),
      unreadable: [],
      next: rows.length < limit ? null : String(rows.at(-1)![0]),
    };
  }

  async cells(span: "minute" | "hour", { tenant: name, from, limit }: CellPageRequest): Promise<CellPage> {
    // Histograms hold what is indexed.
    await this.#store.move({ kind: "index" });
    const tenant = this.#names.tenantId(name);
    if (tenant === undefined) return { groups: [], next: null };
    const spanMs = span === "hour" ? HOUR_MS : MINUTE_MS;
    return readTransaction(this.#database, () => {
      const starts = this.#starts.all(spanMs, tenant, from, limit + 1).map((row) => row[0] as number);
      const next = starts.length > limit ? starts.pop()! : null;
      const groups = new Map(starts.map((start) => [start, new Map<string, CountedCell>()]));
      if (starts.length === 0) return { groups: [], next };
      for (const row of this.#cells.all(spanMs, tenant, starts[0]!, starts.at(-1)!) as CellRow[]) {
        const [start, type, count, high, low, min, max, buckets] = row;
        const histogram = buckets === null ? null : Histogram.decode(buckets);
        const cell = countedOf({ span: spanMs, start, type, count, high, low, min, max, histogram });
        groups.get(start)!.set(this.#names.type(type), cell);
      }
      return { groups: [...groups].map(([start, cells]) => ({ tenant: name, start, cells })), next };
    });
  }

  // deno-lint-ignore require-await -- as above
  async purgedCells({ tenant: name, from, limit }: CellPageRequest): Promise<CellPage> {
    const tenant = this.#names.tenantId(name);
    const { purgedThrough } = this.#state.read();
    const groups: CellGroup[] = [];
    for (let next: number | null = from; tenant !== undefined;) {
      next = this.#recounts.hourFrom(tenant, next);
      if (next === null || next > purgedThrough) break;
      if (groups.length >= limit) return { groups, next };
      const hour = next;
      const { stored, counted } = readTransaction(
        this.#database,
        () => cellsOfHour(this.#recounts, { tenant, hour, typeOf: (type) => this.#names.type(type) }),
      );
      for (const [start, cells] of [...stored].sort(([a], [b]) => a - b)) {
        if (start > minuteOf(purgedThrough)) continue;
        const purged = purgedOf({ tenant: name, start, cells }, counted.get(start) ?? new Map());
        if (purged.cells.size > 0) groups.push(purged);
      }
      next = hour + HOUR_MS;
    }
    return { groups, next: null };
  }

  append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    return this.#store.append(events);
  }

  async addPurged(
    groups: readonly CellGroup[],
    { check = false }: { check?: boolean } = {},
  ): Promise<readonly PurgedCellsStatus[]> {
    return await this.#store.move({ kind: "add", groups: groups.map(toSent), check }) as readonly PurgedCellsStatus[];
  }

  async refuseThrough(timestamp: number): Promise<void> {
    await this.#store.move({ kind: "refuse", through: timestamp });
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (this.#database.isOpen) this.#database.close();
    return Promise.resolve();
  }
}
