/** Connections to the SQLite file, one a thread: how they are opened, and statements that answer in plain arrays. */
import { DatabaseSync, type SQLInputValue, type SQLOutputValue, type StatementSync } from "node:sqlite";
import { SQLITE_BUSY_TIMEOUT_MS } from "../limits.ts";

/** A row as an array: 40 % cheaper than an object. */
export type Row = readonly SQLOutputValue[];

/** What a statement can be given. Numbers arrive as REAL: `cast(? as integer)` where arithmetic follows. */
export type Value = SQLInputValue;

/** Node's statement, and what its type declaration lacks. */
interface ArrayStatement extends StatementSync {
  setReturnArrays(enabled: boolean): void;
}

/**
 * A statement that reads. Whatever it finds is read at once: an open iterator would hold its snapshot, and the log of
 * the database would grow for as long.
 */
export class Query {
  readonly #statement: StatementSync;

  constructor(database: DatabaseSync, sql: string) {
    const statement = database.prepare(sql) as ArrayStatement;
    statement.setReturnArrays(true);
    this.#statement = statement;
  }

  /** Every row. Give the statement a LIMIT. */
  all(...values: Value[]): Row[] {
    return this.#statement.all(...values) as unknown as Row[];
  }

  /** The first row. */
  first(...values: Value[]): Row | undefined {
    return this.#statement.get(...values) as unknown as Row | undefined;
  }
}

/** What `pragma synchronous` answers where a commit is on disk before it is answered. */
export const SYNCHRONOUS_FULL = 2;

/** Opens the one connection that writes. */
export function openForWriting(
  path: string,
  options: { cacheKibibytes: number; busyTimeoutMs?: number },
): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: options.busyTimeoutMs ?? SQLITE_BUSY_TIMEOUT_MS });
  try {
    // FULL: a commit is on disk before it is answered. secure_delete: what is erased is overwritten.
    database.exec(`
      pragma journal_mode = wal;
      pragma synchronous = full;
      pragma secure_delete = on;
      pragma cache_size = -${options.cacheKibibytes};
      pragma temp_store = memory;
      pragma journal_size_limit = ${16 * 1024 * 1024};
    `);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Opens a connection that only reads. Commits of the writer are visible to it at once. */
export function openForReading(path: string, options: { cacheKibibytes: number }): DatabaseSync {
  const database = new DatabaseSync(path, { readOnly: true, timeout: SQLITE_BUSY_TIMEOUT_MS });
  database.exec(`pragma cache_size = -${options.cacheKibibytes}; pragma query_only = on;`);
  return database;
}

/** Runs `work` in one read transaction, so that all of it sees the same commit. */
export function readTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("begin");
  try {
    return work();
  } finally {
    database.exec("commit");
  }
}

/** Runs `work` in one write transaction; when it throws, nothing of it is kept. */
export function writeTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec("begin immediate");
  try {
    const result = work();
    database.exec("commit");
    return result;
  } catch (error) {
    // SQLite has rolled back by itself after some errors, such as a full disk.
    if (database.isTransaction) database.exec("rollback");
    throw error;
  }
}
