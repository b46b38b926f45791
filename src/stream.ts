/**
 * The port to the live log: the order in which stored events are handed out. `tests/stream/conformance.ts` is its
 * suite. In the embedded profile the store's own log is the stream.
 */
import type { Event } from "./event.ts";

/** A place in the log, between two entries. Text that sorts in the order of the log; never shown to clients. */
export type Position = string;

/** One stored event and the place right behind it. */
export interface LogEntry {
  readonly event: Event;
  readonly position: Position;
}

/** Entries in the order of the log. `position` is how far was read, also when the last ones did not match. */
export interface LogPage {
  readonly entries: readonly LogEntry[];
  readonly position: Position;
  /** Nothing was committed behind `position` when the page was read. */
  readonly caughtUp: boolean;
  /** Set when entries behind the place asked for are gone (purged or trimmed) before they were read. */
  readonly reset?: Reset;
}

/** Why continuity is lost: another database or a restored one, purged, ahead of the log, or trimmed away. */
export type ResetReason = "epoch" | "expired" | "future" | "trimmed";

/**
 * Continuity is lost. `replay`: what may have been missed follows, repeats are possible, nothing is lost. `skip`: what
 * lay between is purged or unknown, and the stream goes on at the oldest event kept.
 */
export interface Reset {
  readonly reason: ResetReason;
  readonly mode: "replay" | "skip";
}

/** Where a reader starts: at a word, a time of receipt (milliseconds), or behind a cursor. */
export type Start =
  | { readonly at: "latest" | "earliest" }
  | { readonly receivedAt: number }
  | { readonly cursor: string };

/** The answer to a {@link Start}. */
export interface Opened {
  readonly position: Position;
  /** Set when the cursor could not be followed without a gap; `position` is then where the reader goes on. */
  readonly reset: Reset | null;
}

/** A cell that changed: tenant, start of its minute (milliseconds), event type. */
export interface ChangedCell {
  readonly tenant: string;
  readonly start: number;
  readonly eventType: string;
}

/** The live log. */
export interface EventStream extends AsyncDisposable {
  /** Name of the driver for logs and health. */
  readonly name: string;

  /** The place behind the last committed event. */
  head(): Promise<Position>;

  /** Finds where to start. Throws `invalid_cursor` for text that is no live cursor of this tenant. */
  open(tenant: string, start: Start): Promise<Opened>;

  /**
   * Reads at most `limit` entries behind a place, in order. With `tenant`, only entries of that tenant are returned;
   * the page then may be empty without being the end. Erased events are left out.
   */
  read(options: { after: Position; limit: number; tenant?: string }): Promise<LogPage>;

  /** The opaque cursor a client of a tenant gets for a place. */
  cursor(tenant: string, position: Position): string;

  /** Calls back after every commit that made the log longer, until the returned function is called. */
  watch(listener: () => void): () => void;

  /**
   * Calls back with the cells each commit changed, until the returned function is called. Where changes may go by
   * unheard, `missed` is called: whatever is followed is then read anew. A driver that hears of every change never does.
   */
  watchCells(listener: (cells: readonly ChangedCell[]) => void, missed?: () => void): () => void;
}
