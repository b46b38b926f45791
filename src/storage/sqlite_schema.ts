/** The tables, as numbered migrations. A file of a newer version is refused: it may mean what this one cannot know. */
import type { DatabaseSync } from "node:sqlite";
import { Query, writeTransaction } from "./sqlite_connection.ts";

/** Marks a file as Event Hub's ("EvHb"), so that another program's database is not taken for an empty one. */
const APPLICATION_ID = 0x45764862;

/**
 * Migration n leads from version n to n + 1. One that has been released is never changed.
 *
 * `seq` is given by the writer, rises with each commit and is never used again, also not after a purge: `autoincrement`
 * remembers the largest one. Sums are `sum_high` · 10^12 + `sum_low`, since 64 bits hold 922,000 amounts of a billion.
 * The tables `index_*` and `histograms` are filled behind the commits, up to `meta.indexed_seq`; the rows beyond are
 * scanned by whoever reads. Spans are in milliseconds: 60000 for minutes, 3600000 for hours. A histogram is found by
 * (start in minutes · 2^20 + type) · 2, + 1 for hours: types are numbered across tenants.
 */
const MIGRATIONS: readonly string[] = [
  `
  create table meta(name text primary key, value any not null) strict, without rowid;
  create table tenants(id integer primary key, name text not null unique) strict;
  create table event_types(
    id integer primary key, tenant integer not null, name text not null, unique(tenant, name)
  ) strict;
  create table events(
    seq integer primary key autoincrement,
    tenant integer not null, id text not null, user_id text not null, type integer not null,
    amount integer not null, ts integer not null, ts_given integer not null, received_at integer not null,
    source integer not null, erased integer not null default 0, properties text,
    unique(tenant, id)
  ) strict;
  create table cells(
    span integer not null, tenant integer not null, start integer not null, type integer not null,
    count integer not null, sum_high integer not null, sum_low integer not null,
    min integer not null, max integer not null,
    primary key(span, tenant, start, type)
  ) strict, without rowid;
  create table histograms(id integer primary key, buckets blob not null) strict;
  create table index_steps(
    first_seq integer primary key, last_seq integer not null, received_max integer not null
  ) strict;
  create table index_by_time(
    tenant integer not null, minute integer not null, first_seq integer not null, entries blob not null,
    primary key(tenant, minute, first_seq)
  ) strict, without rowid;
  create table index_by_user(id integer primary key, entries blob not null) strict;
  insert into meta(name, value) values
    ('epoch', lower(hex(randomblob(8)))), ('indexed_seq', 0),
    ('purged_seq', 0), ('purged_id', ''), ('purged_through', -1);
  `,
];

/** The version this program reads and writes. */
export const SCHEMA_VERSION = MIGRATIONS.length;

/**
 * Brings a file to this program's version. Throws an `Error` for a person when the file is of a newer version or
 * another program's.
 */
export function migrate(database: DatabaseSync, options: { path: string }): void {
  const { path } = options;
  const version = pragma(database, "user_version");
  const application = pragma(database, "application_id");
  const tables = new Query(database, "select count(*) from sqlite_schema").first()![0] as number;
  if (tables > 0 && application !== APPLICATION_ID) {
    throw new Error(`Cannot open ${path}: it is a SQLite file of another program`);
  }
  if (version > SCHEMA_VERSION) {
    throw new Error(
      `Cannot open ${path}: it was written by a newer Event Hub (version ${version} of the tables; ` +
        `this one knows up to ${SCHEMA_VERSION}). Run that one, or restore a backup from before the upgrade`,
    );
  }
  for (let from = version; from < SCHEMA_VERSION; from++) {
    writeTransaction(database, () => {
      database.exec(MIGRATIONS[from]!);
      database.exec(`pragma user_version = ${from + 1}; pragma application_id = ${APPLICATION_ID};`);
    });
  }
}

function pragma(database: DatabaseSync, name: string): number {
  return new Query(database, `pragma ${name}`).first()![0] as number;
}

/** What is known of the log as a whole. */
export interface LogState {
  /** Random text that names this database among all others. */
  readonly epoch: string;
  /** Rows up to here are in the index tables and histograms. */
  readonly indexedSeq: number;
  /** The newest row that was purged, and the event's id; 0 and empty when none was. */
  readonly purgedSeq: number;
  readonly purgedId: string;
  /** The largest timestamp ever purged; -1 when none was. */
  readonly purgedThrough: number;
}

/** Reads {@link LogState}. */
export class LogStateQuery {
  readonly #query: Query;

  constructor(database: DatabaseSync) {
    this.#query = new Query(database, "select name, value from meta");
  }

  /** The state as of the current transaction. */
  read(): LogState {
    const meta = new Map(this.#query.all().map((row) => [row[0] as string, row[1]]));
    return {
      epoch: meta.get("epoch") as string,
      indexedSeq: meta.get("indexed_seq") as number,
      purgedSeq: meta.get("purged_seq") as number,
      purgedId: meta.get("purged_id") as string,
      purgedThrough: meta.get("purged_through") as number,
    };
  }
}

/** What `meta` holds while an import did not end: then nothing is purged. */
export const IMPORT_MARK = "import";

/** Sums are held as `high` · SUM_BASE + `low` with 0 ≤ low < SUM_BASE. */
export const SUM_BASE = 1_000_000_000_000;

/** One integer as the two of a sum. */
export function splitSum(sum: bigint): { high: number; low: number } {
  const base = BigInt(SUM_BASE);
  const low = ((sum % base) + base) % base;
  return { high: Number((sum - low) / base), low: Number(low) };
}

/** A sum of two integers as one. */
export function joinSum(high: number, low: number): bigint {
  return BigInt(high) * BigInt(SUM_BASE) + BigInt(low);
}
