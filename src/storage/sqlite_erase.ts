/** Makes the events of a user anonymous, in steps between commits, and overwrites what was there. */
import type { DatabaseSync } from "node:sqlite";
import { SQLITE_ERASE_STEP_ROWS } from "../limits.ts";
import { Query, writeTransaction } from "./sqlite_connection.ts";
import { align, bucketOf, decodeUserEntries, firstSeqOf, userHash, userRowId } from "./sqlite_postings.ts";
import { LogStateQuery } from "./sqlite_schema.ts";
import { report } from "./sqlite_worker.ts";
import type { WriterParts } from "./sqlite_writer.ts";

/** How often the log of the database is tried to be emptied while somebody reads. */
const TRUNCATE_TRIES = 1_000;
/** Rows of the user index that are looked through in one step. */
const ENTRIES_PER_STEP = 64;

/** Erases a user's events. Each `next` is one small step; events that come meanwhile are not the old ones. */
export function* erase(
  { database, appender, indexer }: WriterParts,
  options: { tenant: string; userId: string },
): Generator<void, number> {
  const tenant = appender.tenant(options.tenant);
  const { userId } = options;
  if (tenant === undefined || userId === "") return 0;
  const blank = database.prepare(
    "update events set user_id = '', properties = null, erased = 1 where seq = ? and tenant = ? and user_id = ?",
  );
  const anonymise = (seq: number) => blank.run(seq, tenant, userId).changes === 1;

  // First the rows that no index knows yet: once they are nobody's, they are not indexed as the user's.
  const selectTail = new Query(
    database,
    "select seq from events not indexed where seq > ? and tenant = ? and user_id = ? order by seq limit ?",
  );
  const { indexedSeq } = new LogStateQuery(database).read();
  let erased = 0;
  for (;;) {
    const seqs = selectTail.all(indexedSeq, tenant, userId, SQLITE_ERASE_STEP_ROWS).map((row) => row[0] as number);
    if (seqs.length === 0) break;
    erased += writeTransaction(database, () => seqs.filter(anonymise).length);
    indexer.anonymise(tenant, userId);
    yield;
  }
  erased += yield* eraseIndexed(database, { hash: userHash(tenant, userId), anonymise });
  if (erased > 0) yield* emptyLog(database);
  return erased;
}

/** Erases what the user index knows, and takes it out of there. */
function* eraseIndexed(
  database: DatabaseSync,
  options: { hash: number; anonymise: (seq: number) => boolean },
): Generator<void, number> {
  const { hash, anonymise } = options;
  const select = new Query(
    database,
    "select id, entries from index_by_user where id > ? and id < ? order by id limit ?",
  );
  const update = database.prepare("update index_by_user set entries = ? where id = ?");
  const bucket = bucketOf(hash);
  let after = userRowId(bucket, 0);
  let erased = 0;
  for (;;) {
    const found = select.all(after, userRowId(bucket + 1, 0), ENTRIES_PER_STEP) as [number, Uint8Array][];
    if (found.length === 0) return erased;
    let looked = 0;
    erased += writeTransaction(database, () => {
      let count = 0;
      for (const [id, bytes] of found) {
        looked++;
        after = id;
        const entries = align(bytes);
        const cleared = clear(entries, { hash, anonymise: (row) => anonymise(firstSeqOf(id) + row) });
        if (cleared > 0) update.run(entries, id);
        count += cleared;
        if (count >= SQLITE_ERASE_STEP_ROWS) break;
      }
      return count;
    });
    yield;
    if (looked === found.length && found.length < ENTRIES_PER_STEP) return erased;
  }
}

/** Takes the rows of a user out of entries, in place, and counts them. Another user's may have the same hash. */
function clear(bytes: Uint8Array, options: { hash: number; anonymise: (row: number) => boolean }): number {
  const { hashes, rows, count } = decodeUserEntries(bytes);
  let cleared = 0;
  for (let i = 0; i < count; i++) {
    if (hashes[i] !== options.hash || !options.anonymise(rows[i]!)) continue;
    hashes[i] = 0;
    cleared++;
  }
  return cleared;
}

/** Moves the log of the database into it and cuts it to nothing: old pages with the user's data lie there. */
function* emptyLog(database: DatabaseSync): Generator<void, void> {
  const [timeoutMs] = new Query(database, "pragma busy_timeout").first() as [number];
  for (let attempt = 0; attempt < TRUNCATE_TRIES; attempt++) {
    // A reader in the middle of a page holds it up for some milliseconds; nobody shall wait for that here.
    database.exec("pragma busy_timeout = 0");
    try {
      const [busy] = new Query(database, "pragma wal_checkpoint(truncate)").first() as [number];
      if (busy === 0) return;
    } finally {
      database.exec(`pragma busy_timeout = ${timeoutMs}`);
    }
    yield;
  }
  report("warning", "The log of the database could not be emptied after an erasure; the next restart does it");
}
