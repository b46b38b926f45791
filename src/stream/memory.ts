/** The live log of the memory store. Its cursors name the log's epoch, a number, and a check of the event there. */
import { checkOf, decodeLiveCursor, encodeLiveCursor } from "../cursor.ts";
import { HubError } from "../errors.ts";
import { type Event, heldBytes } from "../event.ts";
import { LOG_PAGE_BYTES_MAX } from "../limits.ts";
import type {
  ChangedCell,
  ChangedCells,
  EventStream,
  LogEntry,
  LogPage,
  Opened,
  Position,
  Reset,
  ResetReason,
  Start,
} from "../stream.ts";

/** What the stream reads of the memory store. */
export interface MemoryLogView {
  readonly epoch: string;
  /** What is kept; numbers rise by one, the first being one more than that of `purged`. */
  readonly entries: readonly { readonly sequence: number; readonly event: Event; readonly erased: boolean }[];
  /** The newest entry that was purged; number 0 when none was. */
  readonly purged: { readonly sequence: number; readonly id: string };
  readonly closed: boolean;
  watch(listener: (cells: readonly ChangedCell[]) => void): () => void;
}

/** Digits of a number in a position, so that positions sort as their numbers do. */
const SEQUENCE_DIGITS = 16;

/** What a reader is told of whom the purge has overtaken. */
const EXPIRED: Reset = { reason: "expired", mode: "skip" };

/** The stream of a memory store. */
export class MemoryStream implements EventStream {
  readonly name = "memory";
  readonly #log: MemoryLogView;
  readonly #unwatch = new Set<() => void>();
  #closed = false;

  constructor(store: { readonly log: MemoryLogView }) {
    this.#log = store.log;
  }

  head(): Promise<Position> {
    return this.#whileOpen(() => this.#positionAt(this.#newest));
  }

  open(tenant: string, start: Start): Promise<Opened> {
    return this.#whileOpen(() => {
      if ("cursor" in start) return this.#follow(decodeLiveCursor(tenant, start.cursor));
      if ("receivedAt" in start) {
        const found = this.#log.entries.find(({ event }) => event.receivedAt >= start.receivedAt);
        return { position: this.#positionAt(found ? found.sequence - 1 : this.#newest), reset: null };
      }
      return { position: this.#positionAt(start.at === "latest" ? this.#newest : this.#floor), reset: null };
    });
  }

  #follow(fields: readonly string[]): Opened {
    const [epoch, digits, check] = fields;
    if (fields.length !== 3 || digits === undefined || !/^\d{16}$/.test(digits)) {
      throw new HubError("invalid_cursor", "The cursor belongs to another kind of stream");
    }
    const sequence = Number(digits);
    const reason = this.#whyLost(epoch!, sequence, check!);
    if (reason === null) return { position: this.#positionAt(sequence), reset: null };
    // What lay between is unknown here in each case, so the reader goes on at the oldest event kept.
    return { position: this.#positionAt(this.#floor), reset: { reason, mode: "skip" } };
  }

  #whyLost(epoch: string, sequence: number, check: string): ResetReason | null {
    if (epoch !== this.#log.epoch) return "epoch";
    if (sequence > this.#newest) return "future";
    if (sequence < this.#floor) return "expired";
    return this.#positionAt(sequence) === positionOf(sequence, check) ? null : "epoch";
  }

  read(options: { after: Position; limit: number; tenant?: string }): Promise<LogPage> {
    return this.#whileOpen(() => {
      const found: LogEntry[] = [];
      const entries = this.#log.entries;
      const behind = Number(options.after.split(".")[0]) - this.#floor;
      const reset = behind < 0 ? { reset: EXPIRED } : {};
      let next = Math.max(0, behind);
      let bytes = 0;
      while (next < entries.length && found.length < options.limit && bytes < LOG_PAGE_BYTES_MAX) {
        const { event, sequence, erased } = entries[next++]!;
        if (erased || (options.tenant !== undefined && event.tenant !== options.tenant)) continue;
        found.push({ event, position: this.#positionAt(sequence) });
        bytes += heldBytes(event);
      }
      const position = this.#positionAt(this.#floor + next);
      return { entries: found, position, caughtUp: next >= entries.length, ...reset };
    });
  }

  cursor(tenant: string, position: Position): string {
    return encodeLiveCursor(tenant, [this.#log.epoch, ...position.split(".")]);
  }

  watch(listener: () => void): () => void {
    return this.watchCells(() => listener());
  }

  watchCells(listener: (cells: ChangedCells) => void): () => void {
    if (this.#closed) return () => {};
    const unwatch = this.#log.watch(listener);
    this.#unwatch.add(unwatch);
    return () => {
      unwatch();
      this.#unwatch.delete(unwatch);
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const unwatch of this.#unwatch) unwatch();
    this.#unwatch.clear();
    return Promise.resolve();
  }

  /** Number before the oldest entry kept. */
  get #floor(): number {
    return this.#log.purged.sequence;
  }

  /** Number of the newest entry. */
  get #newest(): number {
    return this.#floor + this.#log.entries.length;
  }

  /** The place right behind the entry of a number between first and last. */
  #positionAt(sequence: number): Position {
    const id = sequence === this.#floor ? this.#log.purged.id : this.#log.entries[sequence - this.#floor - 1]!.event.id;
    return positionOf(sequence, checkOf(id));
  }

  #whileOpen<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.#closed || this.#log.closed) throw new HubError("unavailable", "The stream is closed");
      resolve(work());
    });
  }
}

function positionOf(sequence: number, check: string): Position {
  return `${String(sequence).padStart(SEQUENCE_DIGITS, "0")}.${check}`;
}
