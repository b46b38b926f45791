/** Counts events anew, an hour at a time, and compares with the cells: for verify, and for rebuild. */
import type { Filter } from "mongodb";
import { MONGODB_REBUILD_TRIES, MONGODB_REPLY_DOCUMENTS, RECOUNT_DIFFERENCES_MAX } from "../limits.ts";
import type { CellDifference, EventRange, RecountReport, Total } from "../storage.ts";
import type { CountedCell } from "../transfer.ts";
import { HOUR_MS, hourOf, minuteOf } from "../window.ts";
import { Cells, type CellsDocument, isSameCell, readCells, readSoundCells } from "./mongodb_cells.ts";
import type { Collections } from "./mongodb_connection.ts";
import { countableOf, type EventDocument, hourKey } from "./mongodb_documents.ts";
import { spansIn } from "./mongodb_metrics.ts";
import type { PurgeState } from "./mongodb_purge.ts";
import { minutesOf } from "./mongodb_settle.ts";

/** An hour of a tenant as it is stored and as its events say it should be. */
export interface HourRecount {
  readonly start: number;
  /** Events counted: those of frozen minutes are not. */
  readonly events: number;
  readonly frozenMinutes: number;
  /** By start; without the frozen ones. */
  readonly storedMinutes: ReadonlyMap<number, Cells>;
  readonly countedMinutes: ReadonlyMap<number, Cells>;
  readonly storedHour: Cells;
  readonly countedHour: Cells;
  /** Minutes of which some events are not settled: their cells may hold them or not. */
  readonly unsettled: ReadonlySet<number>;
}

/** Goes over the hours of a range, widened to hours, and adds up what differs. */
export class Recount {
  readonly #report = { events: 0, cells: 0, differing: 0, frozenMinutes: 0 };
  readonly #differences: CellDifference[] = [];
  readonly #collections: Collections;
  readonly #state: PurgeState;

  constructor(collections: Collections, state: PurgeState) {
    this.#collections = collections;
    this.#state = state;
  }

  /** Counts; `visit` gets each hour that differs, before the next one is counted. */
  async run({ tenant, from, to }: EventRange, visit?: (hour: HourRecount) => Promise<void>): Promise<RecountReport> {
    for (let next = hourOf(from); next < to;) {
      const start = await this.#hourFrom(tenant, next);
      if (start === null || start >= to) break;
      const hour = await this.#countHour(tenant, start);
      this.#add(hour);
      if (visit) await visit(hour);
      next = start + HOUR_MS;
    }
    return { ...this.#report, differences: this.#differences };
  }

  /** The first hour not before a time of which anything is known. */
  async #hourFrom(tenant: string, from: number): Promise<number | null> {
    const { events, rollups, session } = this.#collections;
    const firstOf = (span: "minute" | "hour") =>
      rollups.findOne(spansIn(span, { tenant, from, to: Infinity }), {
        projection: { start: 1 },
        sort: { _id: 1 },
        session,
      });
    const [minute, hour, event] = await Promise.all([
      firstOf("minute"),
      firstOf("hour"),
      events.findOne({ tenant, timestamp: { $gte: new Date(from) } }, {
        projection: { timestamp: 1 },
        sort: { timestamp: 1 },
        session,
      }),
    ]);
    const times = [minute?.start, hour?.start, event?.timestamp].filter((time) => time !== undefined);
    return times.length === 0 ? null : hourOf(Math.min(...times.map((time) => time.getTime())));
  }

  /** Counts an hour. What differs is looked at again: events that came in between would look like a fault. */
  async #countHour(tenant: string, start: number): Promise<HourRecount> {
    for (let tries = 1;; tries++) {
      await this.#state.read(this.#collections);
      const frozen = this.#state.throughMinute;
      const hour = await countHour(this.#collections, { tenant, start, frozen });
      await this.#state.read(this.#collections);
      const isSettled = this.#state.throughMinute === frozen && !differencesOf(hour).some(isDifferent);
      if (isSettled || tries === MONGODB_REBUILD_TRIES) return hour;
      const again = await countHour(this.#collections, { tenant, start, frozen });
      if (this.#state.throughMinute === frozen && isSameRecount(hour, again)) return hour;
    }
  }

  #add(hour: HourRecount): void {
    this.#report.events += hour.events;
    this.#report.frozenMinutes += hour.frozenMinutes;
    for (const comparison of differencesOf(hour)) {
      this.#report.cells++;
      if (!isDifferent(comparison)) continue;
      this.#report.differing++;
      if (this.#differences.length === RECOUNT_DIFFERENCES_MAX) continue;
      const { start, span, eventType, stored, counted } = comparison;
      this.#differences.push({ start, span, eventType, stored: totalOf(stored), counted: totalOf(counted) });
    }
  }
}

/** The events of a range of one tenant, as little of them as a recount needs. */
export function eventsOf(
  { events, session }: Pick<Collections, "events" | "session">,
  { tenant, from, to }: EventRange,
): AsyncIterable<Pick<EventDocument, "timestamp" | "event_type" | "amount" | "slice" | "pend" | "received_at">> {
  const filter: Filter<EventDocument> = {
    tenant,
    timestamp: { $gte: new Date(from), $lt: new Date(to) },
    arrival: { $exists: true },
  };
  return events.find(filter, {
    projection: { _id: 0, timestamp: 1, event_type: 1, amount: 1, slice: 1, pend: 1, received_at: 1 },
    session,
  }).batchSize(MONGODB_REPLY_DOCUMENTS);
}

/** A stored cell beside what it should be. */
interface Comparison {
  readonly start: number;
  readonly span: "minute" | "hour";
  readonly eventType: string;
  readonly stored: CountedCell | undefined;
  readonly counted: CountedCell | undefined;
  /** Some of its events are not settled. */
  readonly unsettled: boolean;
}

async function countHour(
  collections: Collections,
  { tenant, start, frozen }: { tenant: string; start: number; frozen: number },
): Promise<HourRecount> {
  const span = { key: hourKey(tenant, start), tenant, start };
  const { rollups, session } = collections;
  const [minutes, stored] = await Promise.all([
    rollups.find(minutesOf(span), { session }).batchSize(MONGODB_REPLY_DOCUMENTS).toArray(),
    rollups.findOne({ _id: span.key }, { session }),
  ]);
  const storedMinutes = new Map<number, Cells>();
  const countedHour = new Cells();
  let frozenMinutes = 0;
  for (const minute of minutes) {
    const time = minute.start.getTime();
    if (time > frozen) {
      storedMinutes.set(time, readable(minute));
    } else {
      frozenMinutes++;
      countedHour.merge(readSoundCells(minute).cells);
    }
  }
  const countedMinutes = new Map<number, Cells>();
  const unsettled = new Set<number>();
  let events = 0;
  for await (const event of eventsOf(collections, { tenant, from: start, to: start + HOUR_MS })) {
    const minute = minuteOf(event.timestamp.getTime());
    const countable = countableOf(event);
    if (minute <= frozen || countable === null) continue;
    let cells = countedMinutes.get(minute);
    if (cells === undefined) countedMinutes.set(minute, cells = new Cells());
    cells.add(countable.eventType, countable.amount);
    if (event.pend !== undefined) unsettled.add(minute);
    events++;
  }
  for (const cells of countedMinutes.values()) countedHour.merge(cells);
  const storedHour = stored === null ? new Cells() : readable(stored);
  return { start, events, frozenMinutes, storedMinutes, countedMinutes, storedHour, countedHour, unsettled };
}

/** Damaged cells are as none: a difference that a rebuild mends. */
function readable(document: CellsDocument): Cells {
  try {
    return readCells(document);
  } catch {
    return new Cells();
  }
}

function* differencesOf(hour: HourRecount): Generator<Comparison> {
  const none = new Cells();
  for (const start of new Set([...hour.storedMinutes.keys(), ...hour.countedMinutes.keys()])) {
    const stored = hour.storedMinutes.get(start) ?? none;
    const counted = hour.countedMinutes.get(start) ?? none;
    yield* comparisons(stored, counted, { start, span: "minute", unsettled: hour.unsettled.has(start) });
  }
  const unsettled = hour.unsettled.size > 0;
  yield* comparisons(hour.storedHour, hour.countedHour, { start: hour.start, span: "hour", unsettled });
}

function* comparisons(
  stored: Cells,
  counted: Cells,
  of: Pick<Comparison, "start" | "span" | "unsettled">,
): Generator<Comparison> {
  for (const eventType of new Set([...stored.byType.keys(), ...counted.byType.keys()])) {
    yield { ...of, eventType, stored: stored.byType.get(eventType), counted: counted.byType.get(eventType) };
  }
}

/** Events that are not settled may be in the cell or not; apart from that both must be the same. */
function isDifferent({ stored, counted, unsettled }: Comparison): boolean {
  if (isSameCell(stored, counted)) return false;
  return !unsettled || (stored?.count ?? 0) > (counted?.count ?? 0);
}

function isSameRecount(a: HourRecount, b: HourRecount): boolean {
  return isSameCells(a.storedMinutes, b.storedMinutes) && isSameCells(a.countedMinutes, b.countedMinutes) &&
    a.storedHour.equals(b.storedHour) && a.countedHour.equals(b.countedHour);
}

function isSameCells(a: ReadonlyMap<number, Cells>, b: ReadonlyMap<number, Cells>): boolean {
  return a.size === b.size && [...a].every(([start, cells]) => b.get(start)?.equals(cells) ?? false);
}

function totalOf(cell: CountedCell | undefined): Total | null {
  return cell === undefined ? null : { count: cell.count, sum: cell.sum };
}
