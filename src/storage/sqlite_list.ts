/** Pages of events by event time, from the index tables and the rows not yet in them. */
import type { DatabaseSync } from "node:sqlite";
import { LIST_ENTRIES_MAX } from "../limits.ts";
import type { EventFilter, PagePosition, PageRequest } from "../storage.ts";
import { MINUTE_MS } from "../window.ts";
import { EVENT_COLUMNS, eventOf, isErased, toColumns } from "./sqlite_columns.ts";
import { Query, readTransaction, type Row } from "./sqlite_connection.ts";
import type { ListAnswer } from "./sqlite_messages.ts";
import { MinuteWalk } from "./sqlite_minutes.ts";
import type { Names } from "./sqlite_names.ts";
import { behind, FirstPlaces, isBefore, type Place, positionOf, type Stretch, stretchOf } from "./sqlite_places.ts";
import { bucketOf, decodeTimeEntries, decodeUserEntries, firstSeqOf, userHash, userRowId } from "./sqlite_postings.ts";
import { LogStateQuery } from "./sqlite_schema.ts";

/** What one list asks, with names turned into numbers. */
interface Asked {
  readonly tenant: number;
  readonly userId: string | null;
  readonly types: readonly number[] | null;
  readonly limit: number;
  readonly order: "asc" | "desc";
}

/** The next places of a list. */
interface Batch {
  readonly places: readonly Place[];
  /** Behind it the list goes on; `null` = this was all. */
  readonly goOn: Place | null;
  /** Entries of the index that were looked at. */
  readonly effort: number;
}

/** Lists events on one read-only connection. */
export class Lister {
  readonly #database: DatabaseSync;
  readonly #names: Names;
  readonly #state: LogStateQuery;
  readonly #walk: MinuteWalk;
  readonly #event: Query;
  readonly #byUser: Query;
  readonly #byTime: Query;
  readonly #tail: Record<"asc" | "desc", Query>;

  constructor(database: DatabaseSync, names: Names) {
    this.#database = database;
    this.#names = names;
    this.#state = new LogStateQuery(database);
    this.#walk = new MinuteWalk(database);
    this.#event = new Query(database, `select ${EVENT_COLUMNS} from events where seq = ?`);
    this.#byUser = new Query(database, "select id, entries from index_by_user where id > ? and id < ?");
    this.#byTime = new Query(database, "select first_seq, entries from index_by_time where tenant = ? and minute = ?");
    const tail = (order: string) =>
      new Query(
        database,
        `select ts, seq from events not indexed
         where seq > ?1 and tenant = ?2 and (ts, seq) >= (?3, ?4) and (ts, seq) < (?5, ?6)
           and (?7 is null or user_id = ?7) and (?8 is null or type in (select value from json_each(?8)))
           and erased = 0 order by ts ${order}, seq ${order} limit ?9`,
      );
    this.#tail = { asc: tail("asc"), desc: tail("desc") };
  }

  /** One page, all of it as of one commit. */
  list(filter: EventFilter, page: PageRequest): ListAnswer {
    const { limit, order } = page;
    const stretch = stretchOf(filter, page);
    const tenant = this.#names.tenantId(filter.tenant);
    const nothing = { columns: toColumns([]), ties: [], next: null };
    if (tenant === undefined || !isBefore(stretch.from, stretch.to) || filter.userId === "") return nothing;
    const types = filter.eventTypes === undefined ? null : this.#names.typeIds(tenant, filter.eventTypes);
    if (types?.length === 0) return nothing;
    const asked: Asked = { tenant, userId: filter.userId ?? null, types, limit, order };
    return readTransaction(this.#database, () => this.#page(asked, stretch));
  }

  #page(asked: Asked, whole: Stretch): ListAnswer {
    const { limit, order, userId } = asked;
    const tail = this.#unindexed(asked, whole);
    const rows: Row[] = [];
    let stretch = whole;
    let effort = 0;
    for (;;) {
      const room = limit + 1 - rows.length;
      const batch = userId === null
        ? this.#byTimeBatch(asked, { stretch, tail, room })
        : this.#byUserBatch({ ...asked, userId }, { stretch, tail, room });
      for (const place of batch.places) {
        const row = this.#event.first(place.seq);
        // A place may be of an event that was purged or erased, or another user's with the same hash.
        if (row === undefined || isErased(row) || (userId !== null && row[3] !== userId)) continue;
        if (rows.length === limit) return this.#answer(rows, positionOf(placeOf(rows[limit - 1]!)));
        rows.push(row);
      }
      effort += batch.effort;
      if (batch.goOn === null) return this.#answer(rows, null);
      if (effort > LIST_ENTRIES_MAX) return this.#answer(rows, positionOf(batch.goOn));
      stretch = behind(stretch, batch.goOn, order);
    }
  }

  #answer(rows: readonly Row[], next: PagePosition | null): ListAnswer {
    return {
      columns: toColumns(rows.map((row) => eventOf(row, this.#names))),
      ties: rows.map((row) => String(row[0])),
      next,
    };
  }

  /** The first matching rows that no index knows, in order. More than a page of them is never needed. */
  #unindexed({ tenant, userId, types, limit, order }: Asked, { from, to }: Stretch): Place[] {
    const { indexedSeq } = this.#state.read();
    const typeList = types === null ? null : JSON.stringify(types);
    const bounds = [from.timestamp, from.seq, to.timestamp, to.seq];
    const rows = this.#tail[order].all(indexedSeq, tenant, ...bounds, userId, typeList, limit + 1);
    return (rows as [number, number][]).map(([timestamp, seq]) => ({ timestamp, seq }));
  }

  #byTimeBatch(
    { tenant, types, order }: Asked,
    { stretch, tail, room }: { stretch: Stretch; tail: readonly Place[]; room: number },
  ): Batch {
    const found = new FirstPlaces(room, order);
    const { minutes, edge } = this.#walk.next({ tenant, types, order, stretch });
    const wanted = types === null ? null : new Set(types);
    let effort = 0;
    let goOn = edge;
    for (const minute of minutes) {
      if (found.isFull) {
        // The minutes before this one were looked through.
        goOn = order === "desc" ? { timestamp: minute + MINUTE_MS, seq: 0 } : { timestamp: minute, seq: 0 };
        break;
      }
      for (const [firstSeq, bytes] of this.#byTime.all(tenant, minute) as [number, Uint8Array][]) {
        const { count, types: kinds, offsetsMs, rows } = decodeTimeEntries(bytes);
        effort += count;
        for (let i = 0; i < count; i++) {
          if (wanted !== null && !wanted.has(kinds[i]!)) continue;
          addWithin(found, stretch, { timestamp: minute + offsetsMs[i]!, seq: firstSeq + rows[i]! });
        }
      }
    }
    const covered = goOn === null ? stretch : until(stretch, goOn, order);
    for (const place of tail) addWithin(found, covered, place);
    const { places, last } = found.finish();
    return { places, goOn: last ?? goOn, effort: effort + minutes.length };
  }

  #byUserBatch(
    { tenant, userId, types, order }: Asked & { userId: string },
    { stretch, tail, room }: { stretch: Stretch; tail: readonly Place[]; room: number },
  ): Batch {
    const found = new FirstPlaces(room, order);
    const hash = userHash(tenant, userId);
    const bucket = bucketOf(hash);
    const wanted = types === null ? null : new Set(types);
    const stretches = this.#byUser.all(userRowId(bucket, 0), userRowId(bucket + 1, 0)) as [number, Uint8Array][];
    for (const [id, bytes] of stretches) {
      const { count, hashes, timestamps, types: kinds, rows } = decodeUserEntries(bytes);
      for (let i = 0; i < count; i++) {
        if (hashes[i] !== hash || (wanted !== null && !wanted.has(kinds[i]!))) continue;
        addWithin(found, stretch, { timestamp: timestamps[i]!, seq: firstSeqOf(id) + rows[i]! });
      }
    }
    for (const place of tail) addWithin(found, stretch, place);
    const { places, last } = found.finish();
    return { places, goOn: last, effort: 0 };
  }
}

function addWithin(found: FirstPlaces, { from, to }: Stretch, place: Place): void {
  if (!isBefore(place, from) && isBefore(place, to)) found.add(place.timestamp, place.seq);
}

/** What of a stretch comes up to a place in the order of reading. */
function until({ from, to }: Stretch, place: Place, order: "asc" | "desc"): Stretch {
  return order === "desc" ? { from: place, to } : { from, to: { timestamp: place.timestamp, seq: place.seq + 1 } };
}

function placeOf(row: Row): Place {
  return { timestamp: row[6] as number, seq: row[0] as number };
}
