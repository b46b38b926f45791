/** Deletes the oldest events, in steps between commits; their cells stay. */
import { PURGE_HOLD_WARNED_MS, SQLITE_PURGE_STEP_ROWS } from "../limits.ts";
import { describeHeld, fateOf, HELD_BY_IMPORT, type PurgeBorder } from "../retention.ts";
import { minuteOf } from "../window.ts";
import { Query, writeTransaction } from "./sqlite_connection.ts";
import { decodeTimeEntries, USER_BUCKETS, userRowId } from "./sqlite_postings.ts";
import { IMPORT_MARK, LogStateQuery } from "./sqlite_schema.ts";
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

type LogRow = [seq: number, tenant: number, timestamp: number, receivedAt: number, id: string];

/** Purges what {@link fateOf} says, up to the first event that stays. Each `next` is one small step. */
export function* purge(parts: WriterParts, border: PurgeBorder): Generator<void, number> {
  const { database, indexer, held } = parts;
  const state = new LogStateQuery(database);
  if (new Query(database, "select 1 from meta where name = ?").first(IMPORT_MARK) !== undefined) {
    held.tell("warning", HELD_BY_IMPORT);
    return 0;
  }
  const select = new Query(
    database,
    "select seq, tenant, ts, received_at, id from events where seq > ? order by seq limit ?",
  );
  const remove = new Removal(parts);
  let purged = 0;
  let dueThrough = 0;
  for (;;) {
    const { purgedSeq, indexedSeq } = state.read();
    if (dueThrough <= purgedSeq) dueThrough = yield* findDue(parts, { select, after: purgedSeq, border });
    const rows = select.all(purgedSeq, SQLITE_PURGE_STEP_ROWS) as LogRow[];
    const doomed = describe(rows.filter(([seq]) => seq <= dueThrough));
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

/** The row up to which the log is due, as far as one step looks; `after` when nothing is. */
function* findDue(
  { held }: WriterParts,
  { select, after, border }: { select: Query; after: number; border: PurgeBorder },
): Generator<void, number> {
  let looked = after;
  let due = after;
  for (;;) {
    const rows = select.all(looked, SQLITE_PURGE_STEP_ROWS) as LogRow[];
    for (const [seq, , timestamp, receivedAt, id] of rows) {
      const fate = fateOf({ timestamp, receivedAt }, border);
      if (fate === "due") due = seq;
      if (fate === "held" && timestamp - border.receivedBefore > PURGE_HOLD_WARNED_MS) {
        held.tell("warning", describeHeld({ id, timestamp }));
      }
      if (fate === "held" || fate === "kept") return due;
      looked = seq;
    }
    // A whole step of rows that were stored while the clock was ahead: look for one behind them that is due.
    if (due > after || rows.length < SQLITE_PURGE_STEP_ROWS) return due;
    yield;
  }
}

function describe(rows: readonly LogRow[]): Doomed | null {
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
