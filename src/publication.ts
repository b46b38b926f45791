/**
 * What a store and a stream that are two servers ask of each other. The store holds everything and never waits for the
 * stream; the stream hands out what was stored, and goes back to the store for what it lost.
 */
import type { Event } from "./event.ts";
import type { ChangedCell } from "./stream.ts";

/**
 * A place in the order of publication, (`pub`, `pend`): what one process published in one moment lies in the order it was
 * stored. The smallest is `{ pub: 0, pend: "" }`.
 */
export interface PublicationPlace {
  /** When it was published, milliseconds of the store's clock. */
  readonly pub: number;
  /**
   * Names an insertion and not the id: an id that is purged and sent again is another. 24 hexadecimal digits that sort by
   * arrival.
   */
  readonly pend: string;
}

/** Less than zero when the first place comes before the second. */
export function comparePlaces(a: PublicationPlace, b: PublicationPlace): number {
  return a.pub - b.pub || (a.pend < b.pend ? -1 : a.pend > b.pend ? 1 : 0);
}

/** One stored copy of an event. */
export interface StoredEvent extends PublicationPlace {
  /** The key of the stored document, `<tenant>:<id>`. */
  readonly key: string;
  readonly event: Event;
}

/** An insertion as the stream's entries name it. */
export type Insertion = Pick<StoredEvent, "key" | "pend">;

/** A stretch of the store in the order of publication. */
export interface PublicationPage {
  readonly entries: readonly StoredEvent[];
  /** How far was read, also when the last ones are hidden or of other tenants. */
  readonly place: PublicationPlace;
  /** Nothing lay behind `place` (and before `until`) when the page was read. */
  readonly caughtUp: boolean;
}

/** A life of the stream: it ends when the stream lost anything. Numbers rise by one, from 1. */
export interface Epoch {
  readonly number: number;
  /** When it began, by the earlier of both servers' clocks, milliseconds: nothing was published in it before. */
  readonly startedAt: number;
  /** When the earlier ones had ended, by any clock, milliseconds: all they held was published until then. */
  readonly lostUntil: number;
  /** The stream server's own name of its run: it changes when the server restarts. */
  readonly runId: string;
  /** When a process last followed the stream in it, milliseconds of the store's clock. */
  readonly followedAt: number;
  /** Random text that the stream holds too: it is gone when the stream was emptied. */
  readonly marker: string;
}

/** What a stream asks of the store it stands beside. Rejects with a `HubError` of code `unavailable`. */
export interface PublicationSource {
  /** The store's clock, milliseconds: all processes agree on it. */
  now(): number;

  /** Calls back with every group this process stored, right after it is durable, until the returned function is called. */
  watchStored(listener: (group: readonly StoredEvent[]) => void): () => void;

  /** At most `limit` events behind `after` and before `until` (exclusive, by `pub`). Erased events are left out. */
  published(
    options: { after: PublicationPlace; until?: number; limit: number; tenant?: string },
  ): Promise<PublicationPage>;

  /** The place of the first event published at or after `pub` and received at or after a time; `null` when there is none. */
  firstReceived(options: { pub: number; receivedAt: number }): Promise<PublicationPlace | null>;

  /** The `pub` of the oldest event kept; `null` when there is none. */
  oldest(): Promise<number | null>;

  /** The `pub` of the newest event kept; `null` when there is none. */
  newest(): Promise<number | null>;

  /** The largest `pub` ever purged; `null` when nothing was. */
  purgedUntil(): Promise<number | null>;

  /** Moves insertions to another time of publication. Whoever is no longer there is left out. */
  republishAt(insertions: readonly Insertion[], pub: number): Promise<void>;

  /** Which of these insertions nobody has counted yet, by their names (`pend`). */
  uncountedOf(insertions: readonly Insertion[]): Promise<ReadonlySet<string>>;

  /** The oldest events whose publication is not known to have happened (`unpub`), at most `limit`. */
  unpublished(limit: number): Promise<readonly StoredEvent[]>;

  /** Notes that these are published now. */
  markPublished(insertions: readonly Insertion[]): Promise<void>;

  /** A random text that names this database, without a dot; made with the first call. */
  database(): Promise<string>;

  /** The epochs, oldest first; the last one is the current. */
  epochs(): Promise<readonly Epoch[]>;

  /** Notes that the stream is followed in this epoch now; `false` when it is not the current one. */
  followEpoch(number: number): Promise<boolean>;

  /** Begins an epoch; `false` when the current one is not `expected` (0 = none): another process was faster. */
  beginEpoch(epoch: Epoch, expected: number): Promise<boolean>;
}

/** What a worker of the rollups asks of the store. Both count each insertion once, whoever calls and however often. */
export interface SettleSource {
  /** Counts these insertions into the cells and answers which cells changed; unknown or counted ones are left alone. */
  settleThese(insertions: readonly Insertion[]): Promise<readonly ChangedCell[]>;

  /**
   * Counts whatever has waited for at least `ageMs` (0 = everything), oldest first, and marks it as perhaps not
   * published. Answers how many were counted and which cells changed.
   */
  sweep(options: { ageMs: number }): Promise<{ readonly settled: number; readonly changed: readonly ChangedCell[] }>;

  /** When the oldest event was published that is not counted, milliseconds of the store's clock; `null` when all are. */
  uncountedSince(): Promise<number | null>;
}
