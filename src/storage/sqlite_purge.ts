/** Deletes the oldest events, in steps between commits; their cells stay. */
import { SQLITE_PURGE_STEP_ROWS } from "../limits.ts";
import { minuteOf } from "../window.ts";
import { Query, writeTransaction } from "./sqlite_connection.ts";
import { decodeTimeEntries, USER_BUCKETS, userRowId } from "./sqlite_postings.ts";
import { LogStateQuery } from "./sqlite_schema.ts";
import type { WriterParts } from "./sqlite_writer.ts";

/** What is deleted in one step. */
interface Doomed {
  readonly count: number;
  readonly lastSeq: number;
  readonly lastId: string;
  readonly newest: number;
  /** Minutes of these events, by tenant. */
  readonly minutes: ReadonlyMap<number, ReadonlySet<number>>;
}

/** Purges what was received before a time, up to the first event that was not. Each `next` is one small step. */
export function* purge(
  { database, appender, indexer }: WriterParts,
  options: { receivedBefore: number },
): Generator<void, number> {
  const state = new LogStateQuery(database);
  const select = new Query(
    database,
    "select seq, tenant, ts, received_at, id from events where seq > ? order by seq limit ?",
  );
  const remove = new Removal({ database, appender, indexer });
  let purged = 0;
  for (;;) {
    const { purgedSeq, indexedSeq } = state.read();
    const rows = select.all(purgedSeq, SQLITE_PURGE_STEP_ROWS) as [number, number, number, number, string][];
    const kept = rows.findIndex((row) => row[3] >= options.receivedBefore);
    const doomed = describe(kept === -1 ? rows : rows.slice(0, kept));
    if (doomed === null) return purged;
    // What is counted in histograms must be counted before it goes.
    if (doomed.lastSeq > indexedSeq) {
      indexer.step(doomed.lastSeq);
    } else {
      remove.run(doomed);
      purged += doomed.count;
    }
    yield;
  }
}

function describe(rows: readonly [number, number, number, number, string][]): Doomed | null {
  const last = rows.at(-1);
  if (last === undefined) return null;
  const minutes = new Map<number, Set<number>>();
  let newest = -1;
  for (const [, tenant, timestamp] of rows) {
    let ofTenant = minutes.get(tenant);
    if (ofTenant === undefined) minutes.set(tenant, ofTenant = new Set());
    ofTenant.add(minuteOf(timestamp));
    newest = Math.max(newest, timestamp);
  }
  return { count: rows.length, lastSeq: last[0], lastId: last[4], newest, minutes };
}

/** Deletes rows together with what the indexes know of them alone. */
class Removal {
  readonly #parts: WriterParts;
  readonly #deleteEvents;
  readonly #selectSteps: Query;
  readonly #deleteStep;
  readonly #deleteByUser;
  readonly #selectByTime: Query;
  readonly #deleteByTime;
  readonly #setPurged;
  readonly #raiseThrough;

  constructor(parts: WriterParts) {
    const { database } = parts;
    this.#parts = parts;
    this.#deleteEvents = database.prepare("delete from events where seq <= ?");
    this.#selectSteps = new Query(database, "select first_seq from index_steps where first_seq <= ? and last_seq <= ?");
    this.#deleteStep = database.prepare("delete from index_steps where first_seq = ?");
    this.#deleteByUser = database.prepare("delete from index_by_user where id = ?");
    this.#selectByTime = new Query(
      database,
      "select first_seq, entries from index_by_time where tenant = ? and minute = ? and first_seq <= ?",
    );
    this.#deleteByTime = database.prepare(
      "delete from index_by_time where tenant = ? and minute = ? and first_seq = ?",
    );
    this.#setPurged = database.prepare(
      `update meta set value = case name when 'purged_seq' then cast(?1 as integer) else ?2 end
       where name in ('purged_seq', 'purged_id')`,
    );
    this.#raiseThrough = database.prepare(
      "update meta set value = max(value, cast(? as integer)) where name = 'purged_through'",
    );
  }

  run(doomed: Doomed): void {
    const { database, appender } = this.#parts;
    const { lastSeq } = doomed;
    writeTransaction(database, () => {
      this.#deleteEvents.run(lastSeq);
      for (const [tenant, minutes] of doomed.minutes) {
        for (const minute of minutes) this.#forgetMinute(tenant, { minute, lastSeq });
      }
      for (const [firstSeq] of this.#selectSteps.all(lastSeq, lastSeq) as [number][]) {
        for (let bucket = 0; bucket < USER_BUCKETS; bucket++) this.#deleteByUser.run(userRowId(bucket, firstSeq));
        this.#deleteStep.run(firstSeq);
      }
      this.#setPurged.run(lastSeq, doomed.lastId);
      this.#raiseThrough.run(doomed.newest);
    });
    appender.readPurged();
  }

  /** Deletes entries of which every event is gone; they are in the order of the log. */
  #forgetMinute(tenant: number, { minute, lastSeq }: { minute: number; lastSeq: number }): void {
    for (const [firstSeq, bytes] of this.#selectByTime.all(tenant, minute, lastSeq) as [number, Uint8Array][]) {
      const { rows, count } = decodeTimeEntries(bytes);
      if (firstSeq + rows[count - 1]! <= lastSeq) this.#deleteByTime.run(tenant, minute, firstSeq);
    }
  }
}
