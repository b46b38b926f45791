/**
 * The port to moving a store: everything it holds, in pages, and putting that into another store. It stands beside
 * `EventStore`, over the same data; `tests/storage/conformance/transfer.ts` is its suite.
 *
 * What is counted in a store is counted once in what it gives: each event as itself, and the events that retention
 * purged as cells ({@link StoreTransfer.purgedCells}). Both are added to what the target has, and nothing replaces
 * anything: so it does not matter who else writes there, or how often a part is given.
 */
import type { Event } from "./event.ts";
import { Histogram } from "./histogram.ts";
import { type Cell, emptyCell } from "./rollup.ts";
import type { AppendStatus, EventStore } from "./storage.ts";

/** A cell with its histogram. */
export interface CountedCell extends Cell {
  readonly histogram: Histogram;
}

/** Cells of one minute or hour of a tenant. */
export interface CellGroup {
  readonly tenant: string;
  /** Start of the minute or hour, milliseconds. */
  readonly start: number;
  /** By event type, in no order. */
  readonly cells: ReadonlyMap<string, CountedCell>;
}

/** A page of cells, ordered by start; a minute or an hour is never cut. */
export interface CellPage {
  readonly groups: readonly CellGroup[];
  /** Where the next page begins; `null` = nothing follows. */
  readonly next: number | null;
}

/** Which page of cells of a tenant. */
export interface CellPageRequest {
  readonly tenant: string;
  /** The first start that is wanted, milliseconds. */
  readonly from: number;
  /** About how many minutes or hours. */
  readonly limit: number;
}

/** A page of the log. An erased event has an empty `userId` and no properties. */
export interface EventsPage {
  readonly events: readonly Event[];
  /** Stored under these keys is what can be read as an event no more: somebody changed it by hand. */
  readonly unreadable: readonly string[];
  /** What gives the next page; `null` = nothing followed when this one was read. */
  readonly next: string | null;
}

/**
 * What became of the cells of purged events of a minute.
 * - `added`: they are in the target's minute and hour now; when only asked for, they would be.
 * - `there`: the target counts exactly these beside the events it holds: they were added before.
 * - `conflict`: the target counts other things in one of the cells; nothing changed.
 * - `too_many_event_types`: one of the types would be one more than a tenant may have; nothing changed.
 */
export type PurgedCellsStatus = "added" | "there" | "conflict" | "too_many_event_types";

/** Moves what a store holds. Every method rejects as those of `EventStore` do. */
export interface StoreTransfer extends AsyncDisposable {
  /**
   * Makes everything countable (indexed, settled). In a store of many processes it keeps their retention from purging
   * until this is disposed. Comes first.
   */
  begin(): Promise<void>;

  /**
   * Notes in the store that something is put into it. From then on nothing is purged there, also when this process dies,
   * until {@link endImport}: what is purged before all is there could not be given again.
   */
  beginImport(): Promise<void>;

  /** Takes that note back. Harmless when there is none. */
  endImport(): Promise<void>;

  /** Every tenant that has events or cells, sorted. */
  tenants(): Promise<readonly string[]>;

  /** The largest timestamp that is refused as `purged`, milliseconds; `null` when none is. */
  refusedThrough(): Promise<number | null>;

  /** About `limit` events in the order of the log, the erased ones too. `after`: what the page before gave. */
  events(page: { readonly after: string | null; readonly limit: number }): Promise<EventsPage>;

  /** The cells as they are stored (where a driver has no cells of hours: merged). */
  cells(span: "minute" | "hour", page: CellPageRequest): Promise<CellPage>;

  /**
   * What the cells of frozen minutes count beside the events that are still there. Smallest and largest amount are those
   * of the whole cell, since nobody knows which events had them. Rejects with an `Error` for a person when a cell counts
   * less than its events.
   */
  purgedCells(page: CellPageRequest): Promise<CellPage>;

  /**
   * Stores events as `EventStore.append` does, and counts them; in a store of many processes whoever follows it live is
   * not told of them. One with an empty `userId` is stored as erased.
   */
  append(events: readonly Event[]): Promise<readonly AppendStatus[]>;

  /**
   * Adds the cells of purged events to minutes and hours, a status a group; with `check` it only tells what would
   * become of them. Until {@link refuseThrough} has frozen their minutes, a recount takes them for a fault.
   */
  addPurged(
    groups: readonly CellGroup[],
    options?: { readonly check?: boolean },
  ): Promise<readonly PurgedCellsStatus[]>;

  /** Refuses events up to a timestamp (milliseconds) from now on, and freezes their minutes. Never takes that back. */
  refuseThrough(timestamp: number): Promise<void>;
}

/** A store that is open to be moved. */
export interface OpenTransfer extends AsyncDisposable {
  readonly store: Pick<EventStore, "name" | "settle" | "verify">;
  readonly transfer: StoreTransfer;
}

/** A document of the prototype, as what it would be over REST. */
export interface PrototypeDocument {
  /** Hexadecimal digits of its ObjectId. */
  readonly id: string;
  /** When the ObjectId was made, milliseconds: its time to the second. */
  readonly receivedAt: number;
  /** What it holds beside its id; values that JSON has no form for are texts. */
  readonly members: Readonly<Record<string, unknown>>;
}

/** The events that the prototype stored. Nothing of them is changed. */
export interface PrototypeSource extends AsyncDisposable {
  /** How many there are; and how many others that are neither the prototype's nor Event Hub's. */
  count(): Promise<{ readonly documents: number; readonly others: number }>;

  /** At most `limit` documents with larger ids than `after`, in the order of their ids. */
  read(page: { readonly after: string | null; readonly limit: number }): Promise<readonly PrototypeDocument[]>;
}

/** A cell of no events, with a histogram. */
export function emptyCountedCell(): CountedCell {
  return { ...emptyCell(), histogram: new Histogram() };
}

/**
 * What the stored cells of a minute count beside the events that are there: the purged ones. Throws an `Error` for a person
 * when a stored cell counts less than those.
 */
export function purgedOf(
  stored: CellGroup,
  counted: ReadonlyMap<string, CountedCell>,
): CellGroup {
  const cells = new Map<string, CountedCell>();
  for (const [eventType, cell] of stored.cells) {
    const rest = without(cell, counted.get(eventType) ?? emptyCountedCell());
    if (rest === null) throw damaged(stored, eventType);
    if (rest.count > 0) cells.set(eventType, rest);
  }
  for (const eventType of counted.keys()) if (!stored.cells.has(eventType)) throw damaged(stored, eventType);
  return { tenant: stored.tenant, start: stored.start, cells };
}

/** How cells of purged events stand to what a target counts in their minute, and to the events it holds of it. */
export function standingOf(
  purged: CellGroup,
  { stored, counted }: {
    readonly stored: ReadonlyMap<string, CountedCell>;
    readonly counted: ReadonlyMap<string, CountedCell>;
  },
): { readonly status: "added" | "there" | "conflict"; readonly missing: ReadonlyMap<string, CountedCell> } {
  const missing = new Map<string, CountedCell>();
  for (const [eventType, cell] of purged.cells) {
    const there = stored.get(eventType);
    if (there === undefined) {
      missing.set(eventType, cell);
      continue;
    }
    const rest = without(there, counted.get(eventType) ?? emptyCountedCell());
    if (rest === null || !isSameCount(rest, cell)) return { status: "conflict", missing };
  }
  return { status: missing.size === 0 ? "there" : "added", missing };
}

/** A cell less another that is in it; `null` when it is not. */
function without(cell: CountedCell, part: CountedCell): CountedCell | null {
  const histogram = new Histogram();
  histogram.merge(cell.histogram);
  const isIn = histogram.subtract(part.histogram) && histogram.count === cell.count - part.count;
  return isIn ? { ...cell, count: cell.count - part.count, sum: cell.sum - part.sum, histogram } : null;
}

function isSameCount(a: CountedCell, b: CountedCell): boolean {
  return a.count === b.count && a.sum === b.sum && a.histogram.equals(b.histogram);
}

function damaged({ tenant, start }: CellGroup, eventType: string): Error {
  const minute = new Date(start).toISOString();
  return new Error(
    `The cell of ${eventType} at ${minute} of tenant ${tenant} counts less than its events, and retention has frozen it: ` +
      "it is damaged, and what was purged of it cannot be told",
  );
}
