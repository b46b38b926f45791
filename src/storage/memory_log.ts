/** The order in which events came into the memory store: what its live stream reads. */
import type { Event } from "../event.ts";
import type { ChangedCell } from "../stream.ts";
import { minuteOf } from "../window.ts";

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
    const entry = { sequence: this.#purged.sequence + this.#entries.length + 1, event, erased: false };
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

  /** Takes out the oldest entries, up to the first that was not received before that time. */
  purge(receivedBefore: number): readonly MemoryEntry[] {
    const kept = this.#entries.findIndex((entry) => entry.event.receivedAt >= receivedBefore);
    const purged = this.#entries.splice(0, kept === -1 ? this.#entries.length : kept);
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
