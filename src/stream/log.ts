/**
 * The live log of a store that keeps its events in the order of their commits: the log itself is the stream. Committed
 * rows are read in order, so none is skipped and each comes once. A cursor names the log's epoch, the row, and a check
 * of the event there, by which a restored backup is noticed.
 */
import { checkOf, decodeLiveCursor, encodeLiveCursor } from "../cursor.ts";
import { HubError } from "../errors.ts";
import { type Event, heldBytes } from "../event.ts";
import { LOG_PAGE_BYTES_MAX } from "../limits.ts";
import type { ChangedCells, EventStream, LogEntry, LogPage, Opened, Position, Reset, Start } from "../stream.ts";

/** A row of the log by its number, which rises, and the event's id; number 0 and an empty id before the first. */
export interface LogPlace {
  readonly seq: number;
  readonly id: string;
}

/** A row with its event, `null` where it was erased. */
export interface LogRow extends LogPlace {
  readonly event: Event | null;
}

/** A log as the store shows it to one thread. Numbers rise, with holes, and are never used again. */
export interface StoredLog extends Disposable {
  /** Names this log among all others; no dots. */
  readonly epoch: string;
  /** The last row; the last one purged when none is kept. */
  newest(): LogPlace;
  /** The last row that was purged: the log begins behind it. */
  purged(): LogPlace;
  /** The id of the event at a row; `null` where there is none. */
  idAt(seq: number): string | null;
  /** The first row received at or after a time (milliseconds); `null` when there is none. */
  firstReceivedFrom(time: number): number | null;
  /** Rows behind a number, in order; `event` is `null` where it was erased. */
  read(options: { after: number; limit: number }): LogRow[];
  /** The last row before a number; `null` when there is none. */
  before(seq: number): LogPlace | null;
  /** Runs reads that must see the same commit. */
  together<T>(work: () => T): T;
  /** Calls back after every commit that made the log longer, until the returned function is called. */
  watch(listener: () => void): () => void;
  /** Calls back with what each commit changed, and after a gap with `all`, until the returned function is called. */
  watchCells(listener: (cells: ChangedCells) => void): () => void;
}

/** Digits of a number in a position, so that positions sort as their numbers do. */
const SEQ_DIGITS = 16;
/** Rows read before their size is looked at; with the largest properties they are a mebibyte. */
const FIRST_ROWS = 64;

/** The stream of a store's own log. */
export class LogStream implements EventStream {
  readonly name = "log";
  readonly #log: StoredLog;
  readonly #unwatch = new Set<() => void>();
  #closed = false;

  /** The log is closed with the stream. */
  constructor(log: StoredLog) {
    this.#log = log;
  }

  head(): Promise<Position> {
    return this.#ask(() => positionOf(this.#log.newest()));
  }

  open(tenant: string, start: Start): Promise<Opened> {
    return this.#ask(() => {
      if ("cursor" in start) return this.#follow(decodeLiveCursor(tenant, start.cursor));
      if ("receivedAt" in start) return { position: positionOf(this.#beforeReceived(start.receivedAt)), reset: null };
      return { position: positionOf(start.at === "latest" ? this.#log.newest() : this.#log.purged()), reset: null };
    });
  }

  read({ after, limit, tenant }: { after: Position; limit: number; tenant?: string }): Promise<LogPage> {
    return this.#ask(() => {
      const place = Number(after.slice(0, SEQ_DIGITS));
      // Pages end where those of others do who read as many at a time, so that they can be shared.
      const wanted = limit - place % limit;
      let { rows, caughtUp } = this.#page(place, wanted);
      let start = after;
      let reset: Reset | null = null;
      // Where a row is missing it may have been purged before it was read.
      const purged = rows[0]?.seq === place + 1 ? null : this.#log.purged();
      if (purged !== null && purged.seq > place) {
        reset = { reason: "expired", mode: "skip" };
        start = positionOf(purged);
        ({ rows, caughtUp } = this.#page(purged.seq, limit - purged.seq % limit));
      }
      const entries: LogEntry[] = [];
      for (const { seq, id, event } of rows) {
        if (event === null || (tenant !== undefined && event.tenant !== tenant)) continue;
        entries.push({ event, position: positionOf({ seq, id }) });
      }
      const last = rows.at(-1);
      const position = last === undefined ? start : positionOf(last);
      return { entries, position, caughtUp, ...(reset === null ? {} : { reset }) };
    });
  }

  /** Rows behind a number: a few first, and as many more as their size lets expect to fit. */
  #page(after: number, limit: number): { rows: LogRow[]; caughtUp: boolean } {
    const rows: LogRow[] = [];
    let bytes = 0;
    let wanted = Math.min(limit, FIRST_ROWS);
    while (wanted > 0) {
      const more = this.#log.read({ after: rows.at(-1)?.seq ?? after, limit: wanted + 1 });
      const caughtUp = more.length <= wanted;
      if (!caughtUp) more.pop();
      for (const row of more) bytes += row.event === null ? 0 : heldBytes(row.event);
      rows.push(...more);
      if (caughtUp) return { rows, caughtUp };
      const fitting = Math.floor((LOG_PAGE_BYTES_MAX - bytes) / Math.max(1, bytes / rows.length));
      wanted = Math.min(limit - rows.length, fitting);
    }
    return { rows, caughtUp: false };
  }

  cursor(tenant: string, position: Position): string {
    const seq = Number(position.slice(0, SEQ_DIGITS));
    return encodeLiveCursor(tenant, [this.#log.epoch, seq.toString(36), position.slice(SEQ_DIGITS + 1)]);
  }

  watch(listener: () => void): () => void {
    return this.#listen(() => this.#log.watch(listener));
  }

  watchCells(listener: (cells: ChangedCells) => void): () => void {
    return this.#listen(() => this.#log.watchCells(listener));
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      for (const unwatch of this.#unwatch) unwatch();
      this.#unwatch.clear();
      this.#log[Symbol.dispose]();
    }
    return Promise.resolve();
  }

  /** The place before the first row received at or after a time; the head when there is none. */
  #beforeReceived(time: number): LogPlace {
    const first = this.#log.firstReceivedFrom(time);
    if (first === null) return this.#log.newest();
    // Between two rows that follow each other there may be a hole, as wide as there were duplicates.
    return this.#log.together(() => this.#log.before(first) ?? this.#log.purged());
  }

  #follow(fields: readonly string[]): Opened {
    const [epoch, digits, check] = fields;
    const seq = parseInt(digits ?? "", 36);
    if (fields.length !== 3 || !Number.isSafeInteger(seq) || seq.toString(36) !== digits) {
      throw new HubError("invalid_cursor", "The cursor belongs to another kind of stream");
    }
    return this.#log.together(() => {
      const purged = this.#log.purged();
      const oldest = positionOf(purged);
      const replay = (reason: "epoch" | "future"): Opened => ({ position: oldest, reset: { reason, mode: "replay" } });
      if (epoch !== this.#log.epoch) return replay("epoch");
      if (seq > this.#log.newest().seq) return replay("future");
      if (seq < purged.seq) return { position: oldest, reset: { reason: "expired", mode: "skip" } };
      const id = seq === purged.seq ? purged.id : this.#log.idAt(seq);
      // A backup was restored, and other events took the numbers behind it.
      if (id === null || checkOf(id) !== check) return replay("epoch");
      return { position: positionOf({ seq, id }), reset: null };
    });
  }

  #listen(watch: () => () => void): () => void {
    if (this.#closed) return () => {};
    const unwatch = watch();
    this.#unwatch.add(unwatch);
    return () => {
      unwatch();
      this.#unwatch.delete(unwatch);
    };
  }

  #ask<T>(work: () => T): Promise<T> {
    return new Promise((resolve) => {
      if (this.#closed) throw new HubError("unavailable", "The stream is closed");
      try {
        resolve(work());
      } catch (cause) {
        if (cause instanceof HubError) throw cause;
        throw new HubError("unavailable", "The log of the store cannot be read", { cause });
      }
    });
  }
}

function positionOf({ seq, id }: LogPlace): Position {
  return `${String(seq).padStart(SEQ_DIGITS, "0")}.${checkOf(id)}`;
}
