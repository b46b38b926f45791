/** The order in which events came into the memory store: what its live stream reads. */
import { getLogger } from "@logtape/logtape";
import type { Event } from "../event.ts";
import { PURGE_HOLD_WARNED_MS } from "../limits.ts";
import { describeHeld, fateOf, type PurgeBorder } from "../retention.ts";
import type { ChangedCell } from "../stream.ts";
import { minuteOf } from "../window.ts";

const log = getLogger(["eventhub", "memory"]);

/** A stored event and its number in the log. Erasure replaces the event by an anonymous one. */
export interface MemoryEntry {
  readonly sequence: number;
  event: Event;
  erased: boolean;
}

/** A log without holes: numbers rise by one and are never used twice, also after a purge. */
export class MemoryLog {
  /** Names this log among all others, so that a cursor of another one is noticed. */
  readonly epoch = crypto.randomUUID();
  readonly #entries: MemoryEntry[] = [];
  readonly #listeners = new Set<(cells: readonly ChangedCell[]) => void>();
  #purged: { readonly sequence: number; readonly id: string } = { sequence: 0, id: "" };
  /** The event that holds purges up, once it was warned of. */
  #held: string | null = null;
  #closed = false;

  /** What is kept, in order. */
  get entries(): readonly MemoryEntry[] {
    return this.#entries;
  }

  /** The newest entry that was purged; number 0 when none was. */
  get purged(): { readonly sequence: number; readonly id: string } {
    return this.#purged;
  }

  /** Whether the store was closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Puts an event behind all others. */
  add(event: Event): MemoryEntry {
    const entry = { sequence: this.#purged.sequence + this.#entries.length + 1, event, erased: event.userId === "" };
    this.#entries.push(entry);
    return entry;
  }

  /** Tells everyone who watches that these events were added. */
  commit(events: readonly Event[]): void {
    if (events.length === 0 || this.#listeners.size === 0) return;
    const cells = new Map<string, ChangedCell>();
    for (const { tenant, timestamp, eventType } of events) {
      const start = minuteOf(timestamp);
      cells.set(`${tenant} ${start} ${eventType}`, { tenant, start, eventType });
    }
    const changed = [...cells.values()];
    for (const listener of this.#listeners) listener(changed);
  }

  /** Calls back after each commit with the cells it changed, until the returned function is called. */
  watch(listener: (cells: readonly ChangedCell[]) => void): () => void {
    const own = (cells: readonly ChangedCell[]) => listener(cells);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Takes out the oldest entries, up to the first that stays. */
  purge(border: PurgeBorder): readonly MemoryEntry[] {
    let count = 0;
    for (const [index, { event }] of this.#entries.entries()) {
      const fate = fateOf(event, border);
      if (fate === "due") count = index + 1;
      if (
        fate === "held" && event.timestamp - border.receivedBefore > PURGE_HOLD_WARNED_MS && this.#held !== event.id
      ) {
        this.#held = event.id;
        log.warn(describeHeld(event));
      }
      if (fate === "held" || fate === "kept") break;
    }
    const purged = this.#entries.splice(0, count);
    const last = purged.at(-1);
    if (last) this.#purged = { sequence: last.sequence, id: last.event.id };
    return purged;
  }

  /** Ends all watching. */
  close(): void {
    this.#closed = true;
    this.#listeners.clear();
  }
}
