/** Finds the minutes in which a tenant has indexed events, a few at a time in the order of reading. */
import type { DatabaseSync } from "node:sqlite";
import { HOUR_MS, hourOf, MINUTE_MS, minuteOf } from "../window.ts";
import { Query } from "./sqlite_connection.ts";
import type { Place, Stretch } from "./sqlite_places.ts";

/** Minutes, or hours, looked at together. */
const AT_ONCE = 64;

/** The next minutes. Behind `edge` there may be more; `null` = these are all. */
export interface Minutes {
  readonly minutes: readonly number[];
  readonly edge: Place | null;
}

/** What is walked through. */
interface Walk {
  readonly tenant: number;
  /** The cells know in which minutes a type occurs: so a rare one need not be searched for. */
  readonly types: readonly number[] | null;
  readonly order: "asc" | "desc";
  readonly stretch: Stretch;
}

/** Walks on one read-only connection. */
export class MinuteWalk {
  readonly #bounds: Query;
  readonly #minutes: Record<"asc" | "desc", Query>;
  readonly #starts: Record<"asc" | "desc", Query>;

  constructor(database: DatabaseSync) {
    this.#bounds = new Query(
      database,
      `select (select min(minute) from index_by_time where tenant = ?1),
              (select max(minute) from index_by_time where tenant = ?1)`,
    );
    const minutes = (order: string) =>
      new Query(
        database,
        `select distinct minute from index_by_time where tenant = ? and minute >= ? and minute <= ?
         order by minute ${order} limit ${AT_ONCE}`,
      );
    this.#minutes = { asc: minutes("asc"), desc: minutes("desc") };
    const starts = (order: string) =>
      new Query(
        database,
        `select distinct start from cells where span = ? and tenant = ? and start >= ? and start <= ?
           and type in (select value from json_each(?)) order by start ${order} limit ${AT_ONCE}`,
      );
    this.#starts = { asc: starts("asc"), desc: starts("desc") };
  }

  /** The first minutes of a stretch. */
  next(walk: Walk): Minutes {
    const { tenant, order, stretch } = walk;
    const [first, last] = this.#bounds.first(tenant) as [number | null, number | null];
    if (first === null || last === null) return { minutes: [], edge: null };
    const from = Math.max(minuteOf(stretch.from.timestamp), first);
    const to = Math.min(minuteOf(stretch.to.timestamp), last);
    if (from > to) return { minutes: [], edge: null };
    if (walk.types !== null) return this.#ofTypes({ ...walk, types: walk.types }, from, to);
    const minutes = (this.#minutes[order].all(tenant, from, to) as [number][]).map(([minute]) => minute);
    return { minutes, edge: minutes.length < AT_ONCE ? null : edgeOf(minutes.at(-1)!, { order, span: MINUTE_MS }) };
  }

  #ofTypes({ tenant, order, types }: Walk & { types: readonly number[] }, from: number, to: number): Minutes {
    const list = JSON.stringify(types);
    const starts = this.#starts[order];
    const hours = (starts.all(HOUR_MS, tenant, hourOf(from), to, list) as [number][]).map(([hour]) => hour);
    const minutes: number[] = [];
    for (const hour of hours) {
      const [low, high] = [Math.max(from, hour), Math.min(to, hour + HOUR_MS - MINUTE_MS)];
      for (const [minute] of starts.all(MINUTE_MS, tenant, low, high, list) as [number][]) minutes.push(minute);
      const isLast = hour === hours.at(-1) && hours.length < AT_ONCE;
      if (isLast || minutes.length < AT_ONCE) continue;
      return { minutes, edge: edgeOf(hour, { order, span: HOUR_MS }) };
    }
    return { minutes, edge: hours.length < AT_ONCE ? null : edgeOf(hours.at(-1)!, { order, span: HOUR_MS }) };
  }
}

/** The place behind a span of time that was looked through. */
function edgeOf(start: number, { order, span }: { order: "asc" | "desc"; span: number }): Place {
  return order === "desc" ? { timestamp: start, seq: 0 } : { timestamp: start + span, seq: 0 };
}
