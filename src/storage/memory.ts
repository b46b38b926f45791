/**
 * Events and cells in memory: for tests, and for `EVENTHUB_STORE_URL=memory:`. It keeps every promise of the port but
 * one: nothing outlives the process. All of it lies in memory, so beyond `MEMORY_STORE_EVENTS_MAX` events it answers
 * `unavailable`.
 *
 * Events lie in minutes by event time, each minute beside its cells, so that lists walk minutes in order, aggregates
 * read cells alone, and a recount needs one minute at a time. There are no hour cells: merging minutes is quick enough.
 */
import { HubError } from "../errors.ts";
import { type Event, sameContent } from "../event.ts";
import { EVENT_TYPES_PER_TENANT_MAX, MEMORY_STORE_EVENTS_MAX, RECOUNT_DIFFERENCES_MAX } from "../limits.ts";
import { type AggregateQuery, type AggregateRow, type KeyedCell, summarise } from "../rollup.ts";
import type {
  AppendStatus,
  CellDifference,
  EventFilter,
  EventPage,
  EventRange,
  EventStore,
  PageRequest,
  RecountReport,
  StoreHealth,
  Total,
} from "../storage.ts";
import type { CountedCell, StoreTransfer } from "../transfer.ts";
import { HOUR_MS, hourOf, MINUTE_MS, minuteOf } from "../window.ts";
import { type MemoryEntry, MemoryLog } from "./memory_log.ts";
import { type Key, MemoryTenant, type Minute } from "./memory_tenant.ts";
import { MemoryTransfer } from "./memory_transfer.ts";

/** The store in memory; its {@link log} is what `MemoryStream` reads. */
export class MemoryStore implements EventStore {
  readonly name = "memory";
  readonly settlesOnAppend = true;
  /** The order in which events were stored. */
  readonly log = new MemoryLog();
  /** Moves what it holds. */
  readonly transfer: StoreTransfer;
  readonly #eventsMax: number;
  readonly #tenants = new Map<string, MemoryTenant>();
  /** Largest timestamp ever purged. */
  #purgedThrough = -Infinity;
  /** Whether an import that did not end keeps everything. */
  #isHeld = false;

  /** `eventsMax`: how many events it holds before it answers `unavailable`. */
  constructor(options: { eventsMax?: number } = {}) {
    this.#eventsMax = options.eventsMax ?? MEMORY_STORE_EVENTS_MAX;
    this.transfer = new MemoryTransfer({
      log: this.log,
      tenants: this.#tenants,
      append: (events) => this.append(events),
      purgedThrough: () => this.#purgedThrough,
      holdPurges: (isHeld) => void (this.#isHeld = isHeld),
      refuseThrough: (timestamp) => void (this.#purgedThrough = Math.max(this.#purgedThrough, timestamp)),
    });
  }

  append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    if (this.log.closed) return Promise.resolve(events.map(() => "unavailable"));
    const statuses = events.map((event) => this.#appendOne(event));
    this.log.commit(events.filter((_, i) => statuses[i] === "stored"));
    return Promise.resolve(statuses);
  }

  #appendOne(event: Event): AppendStatus {
    const tenant = this.#tenant(event.tenant);
    const known = tenant.entries.get(event.id);
    if (known) return isResend(known, event) ? "duplicate" : "conflict";
    if (event.timestamp <= this.#purgedThrough) return "purged";
    if (tenant.eventTypes.size >= EVENT_TYPES_PER_TENANT_MAX && !tenant.eventTypes.has(event.eventType)) {
      return "too_many_event_types";
    }
    if (this.log.entries.length >= this.#eventsMax) return "unavailable";
    tenant.add(this.log.add(event));
    return "stored";
  }

  get(tenant: string, id: string): Promise<Event | null> {
    return this.#whileOpen(() => {
      const entry = this.#tenant(tenant).entries.get(id);
      return entry && !entry.erased ? entry.event : null;
    });
  }

  list(filter: EventFilter, page: PageRequest): Promise<EventPage> {
    return this.#whileOpen(() => {
      const types = filter.eventTypes && new Set(filter.eventTypes);
      const found: MemoryEntry[] = [];
      let next: EventPage["next"] = null;
      for (const entry of this.#tenant(filter.tenant).between(...boundsOf(filter, page), page.order)) {
        const { event } = entry;
        if (entry.erased || (types && !types.has(event.eventType))) continue;
        if (filter.userId !== undefined && event.userId !== filter.userId) continue;
        const last = found.at(-1);
        if (last && found.length === page.limit) {
          next = { timestamp: last.event.timestamp, tie: String(last.sequence) };
          break;
        }
        found.push(entry);
      }
      return {
        events: found.map((entry) => entry.event),
        ties: found.map((entry) => String(entry.sequence)),
        next,
      };
    });
  }

  aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]> {
    return this.#whileOpen(() => {
      const types = query.eventTypes && new Set(query.eventTypes);
      const cells: KeyedCell[] = [];
      for (const { start, cells: ofMinute } of this.#tenant(query.tenant).minutesIn(query.from, query.to)) {
        for (const [eventType, cell] of ofMinute) {
          if (types && !types.has(eventType)) continue;
          cells.push({ ...cell, start, eventType, histogram: query.percentiles ? cell.histogram : null });
        }
      }
      return summarise(cells, query);
    });
  }

  count(range: EventRange): Promise<Total> {
    return this.#whileOpen(() => {
      let count = 0;
      let sum = 0n;
      for (const minute of this.#tenant(range.tenant).minutesIn(minuteOf(range.from), range.to)) {
        if (range.from <= minute.start && minute.start + MINUTE_MS <= range.to) {
          for (const cell of minute.cells.values()) {
            count += cell.count;
            sum += cell.sum;
          }
          continue;
        }
        for (const { event } of minute.entries) {
          if (event.timestamp < range.from || event.timestamp >= range.to) continue;
          count++;
          sum += BigInt(event.amount);
        }
      }
      return { count, sum };
    });
  }

  settle(): Promise<number> {
    return this.#whileOpen(() => 0);
  }

  verify(range: EventRange): Promise<RecountReport> {
    return this.#whileOpen(() => this.#recount(range, { replace: false }));
  }

  rebuild(range: EventRange): Promise<RecountReport> {
    return this.#whileOpen(() => this.#recount(range, { replace: true }));
  }

  #recount(range: EventRange, options: { replace: boolean }): RecountReport {
    const differences: CellDifference[] = [];
    let [events, cells, differing, frozenMinutes] = [0, 0, 0, 0];
    const to = Math.ceil(range.to / HOUR_MS) * HOUR_MS;
    for (const minute of this.#tenant(range.tenant).minutesIn(hourOf(range.from), to)) {
      if (minute.start <= this.#purgedThrough) {
        frozenMinutes++;
        continue;
      }
      const counted = minute.recount();
      events += minute.entries.length;
      for (const eventType of new Set([...minute.cells.keys(), ...counted.keys()])) {
        cells++;
        const difference = differenceOf(minute, eventType, counted.get(eventType));
        if (!difference) continue;
        differing++;
        if (differences.length < RECOUNT_DIFFERENCES_MAX) differences.push(difference);
      }
      if (options.replace) minute.cells = counted;
    }
    return { events, cells, differing, differences, frozenMinutes };
  }

  purge(receivedBefore: number, { now = Infinity } = {}): Promise<number> {
    return this.#whileOpen(() => {
      if (this.#isHeld) return 0;
      const purged = this.log.purge({ receivedBefore, now });
      for (const [tenant, entries] of Map.groupBy(purged, (entry) => entry.event.tenant)) {
        this.#tenant(tenant).remove(entries);
      }
      for (const { event } of purged) this.#purgedThrough = Math.max(this.#purgedThrough, event.timestamp);
      return purged.length;
    });
  }

  erase(tenant: string, userId: string): Promise<number> {
    return this.#whileOpen(() => {
      let erased = 0;
      for (const entry of this.#tenant(tenant).entries.values()) {
        if (entry.erased || entry.event.userId !== userId) continue;
        entry.event = anonymous(entry.event);
        entry.erased = true;
        erased++;
      }
      return erased;
    });
  }

  health(): Promise<StoreHealth> {
    const held = `${this.log.entries.length} of at most ${this.#eventsMax} events in memory`;
    return Promise.resolve(this.log.closed ? { ok: false, detail: "closed" } : { ok: true, detail: held });
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.log.close();
    return Promise.resolve();
  }

  /** Makes a cell wrong, as a fault of the disk or of the code would: what `verify` must find. For tests. */
  corruptCell(cell: { tenant: string; start: number; eventType: string }): void {
    const stored = [...this.#tenant(cell.tenant).minutesIn(cell.start, cell.start + 1)][0]?.cells.get(cell.eventType);
    if (!stored) throw new Error(`Cannot corrupt a cell that is not there: ${cell.eventType} at ${cell.start}`);
    stored.count++;
  }

  #tenant(name: string): MemoryTenant {
    let tenant = this.#tenants.get(name);
    if (!tenant) this.#tenants.set(name, tenant = new MemoryTenant());
    return tenant;
  }

  #whileOpen<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.log.closed) throw new HubError("unavailable", "The store is closed");
      resolve(work());
    });
  }
}

/** An erased event has no user and no properties left to compare. */
function isResend(known: MemoryEntry, event: Event): boolean {
  return sameContent(known.event, known.erased ? anonymous(event) : event);
}

function anonymous(event: Event): Event {
  return { ...event, userId: "", properties: null };
}

/** The half-open stretch of the order (timestamp, sequence) that a page has to look at. */
function boundsOf(filter: EventFilter, page: PageRequest): [Key, Key] {
  let from: Key = { timestamp: filter.from ?? -Infinity, sequence: 0 };
  let to: Key = { timestamp: filter.to ?? Infinity, sequence: 0 };
  if (page.after) {
    const { timestamp, tie } = page.after;
    if (!/^\d{1,16}$/.test(tie)) throw new HubError("invalid_cursor", "The cursor belongs to another kind of store");
    const sequence = Number(tie);
    if (page.order === "asc" && timestamp >= from.timestamp) from = { timestamp, sequence: sequence + 1 };
    if (page.order === "desc" && timestamp < to.timestamp) to = { timestamp, sequence };
  }
  return [from, to];
}

function differenceOf(minute: Minute, eventType: string, counted: CountedCell | undefined): CellDifference | null {
  const stored = minute.cells.get(eventType);
  if (stored && counted && isSameCell(stored, counted)) return null;
  return { start: minute.start, span: "minute", eventType, stored: totalOf(stored), counted: totalOf(counted) };
}

function isSameCell(a: CountedCell, b: CountedCell): boolean {
  return a.count === b.count && a.sum === b.sum && a.min === b.min && a.max === b.max &&
    a.histogram.equals(b.histogram);
}

function totalOf(cell: CountedCell | undefined): Total | null {
  return cell ? { count: cell.count, sum: cell.sum } : null;
}
