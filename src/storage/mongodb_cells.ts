/**
 * Cells as documents: all event types of a slice, a minute or an hour of a tenant in one. They are never changed by
 * increments, only replaced by a recount, so that every step may be repeated by anyone at any time.
 */
import { getLogger } from "@logtape/logtape";
import { Binary, type ClientSession, type Collection, Decimal128, ObjectId } from "mongodb";
import type { Amount } from "../amount.ts";
import { Histogram } from "../histogram.ts";
import { foldAmount, mergeCell } from "../rollup.ts";
import { type CountedCell, emptyCountedCell } from "../transfer.ts";
import { isDuplicateKey, writeErrorsOf } from "./mongodb_errors.ts";
import { bytesOf, fromDecimal, toAmount, toDecimal } from "./mongodb_documents.ts";

const log = getLogger(["eventhub", "mongodb"]);

/** A cell of one event type. */
export interface CellDocument {
  readonly type: string;
  readonly count: number;
  readonly sum: Decimal128;
  readonly min: Decimal128;
  readonly max: Decimal128;
  /** `Histogram.encode`. */
  readonly histogram: Binary;
}

/** What slices, minutes and hours have in common. */
export interface CellsDocument {
  /** Key of the slice, the minute or the hour. */
  readonly _id: string;
  readonly tenant: string;
  /** Start of the minute or hour; of a slice, of its minute. */
  readonly start: Date;
  /** Events in it, of all types. A recount with fewer is older and never replaces one with more. */
  readonly count: number;
  /** Changes with every replacement, so that a rebuild can tell whether somebody was faster. */
  readonly version: ObjectId;
  readonly cells: readonly CellDocument[];
}

/** Some events of one tenant and minute that were received within one stretch of time; see `mongodb_slices.ts`. */
export interface SliceDocument extends CellsDocument {
  /** `_id` of its minute. */
  readonly minute: string;
  /** The last second of its stretch of receipt: it goes when all that was received until then is purged. */
  readonly received: Date;
}

/** The cells of one slice, minute or hour, by event type. */
export class Cells {
  readonly byType = new Map<string, CountedCell>();

  /** Number of events, of all types. */
  get count(): number {
    let count = 0;
    for (const cell of this.byType.values()) count += cell.count;
    return count;
  }

  /** Counts one event. */
  add(eventType: string, amount: Amount): void {
    const cell = this.#cell(eventType);
    foldAmount(cell, amount);
    cell.histogram.add(amount);
  }

  /** Adds other cells, kept or read. */
  merge(other: Cells): void {
    for (const [eventType, cell] of other.byType) this.mergeType(eventType, cell);
  }

  /** Adds a cell of one type. */
  mergeType(eventType: string, other: CountedCell): void {
    const cell = this.#cell(eventType);
    mergeCell(cell, other);
    cell.histogram.merge(other.histogram);
  }

  /** Whether both count the same. */
  equals(other: Cells): boolean {
    if (this.byType.size !== other.byType.size) return false;
    for (const [eventType, cell] of this.byType) {
      if (!isSameCell(cell, other.byType.get(eventType))) return false;
    }
    return true;
  }

  #cell(eventType: string): CountedCell {
    let cell = this.byType.get(eventType);
    if (!cell) this.byType.set(eventType, cell = emptyCountedCell());
    return cell;
  }
}

/** Whether two cells count the same. */
export function isSameCell(a: CountedCell | undefined, b: CountedCell | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return a.count === b.count && a.sum === b.sum && a.min === b.min && a.max === b.max &&
    a.histogram.equals(b.histogram);
}

/** What a document of cells holds beside its key. */
export function cellsContent(cells: Cells): Pick<CellsDocument, "count" | "version" | "cells"> {
  return {
    count: cells.count,
    version: new ObjectId(),
    cells: [...cells.byType].map(([type, { count, sum, min, max, histogram }]) => ({
      type,
      count,
      sum: toDecimal(sum),
      min: toDecimal(BigInt(min)),
      max: toDecimal(BigInt(max)),
      histogram: new Binary(histogram.encode()),
    })),
  };
}

/** Says which cells cannot be read. */
export class DamagedCells extends Error {
  override readonly name = "DamagedCells";
  /** `_id` of the document. */
  readonly key: string;

  constructor(key: string, eventType: string) {
    super(`Cannot read the cells of ${key}: ${eventType} is damaged; a rebuild mends it`);
    this.key = key;
  }
}

/**
 * The cells of a document. Without the histograms (left out of the answer) they are empty ones. Throws
 * {@link DamagedCells}.
 */
export function readCells(document: Pick<CellsDocument, "_id" | "cells">): Cells {
  const { cells, damaged } = readSoundCells(document);
  if (damaged.length > 0) throw new DamagedCells(document._id, damaged.join(", "));
  return cells;
}

/** What can be read of a document, and the names of the types that cannot. */
export function readSoundCells({ cells: found }: Pick<CellsDocument, "cells">): { cells: Cells; damaged: string[] } {
  const cells = new Cells();
  if (!Array.isArray(found)) return { cells, damaged: ["everything"] };
  const damaged: string[] = [];
  for (const cell of found) {
    const sound = toCell(cell);
    if (sound === null) damaged.push(String(cell?.type));
    else cells.byType.set(cell.type, sound);
  }
  return { cells, damaged };
}

function toCell(cell: Partial<CellDocument> | null): CountedCell | null {
  if (typeof cell?.type !== "string") return null;
  const [sum, min, max] = [fromDecimal(cell.sum), toAmount(cell.min), toAmount(cell.max)];
  if (sum === null || min === null || max === null || !Number.isSafeInteger(cell.count)) return null;
  const histogram = toHistogram(cell.histogram);
  return histogram === null ? null : { count: cell.count!, sum, min, max, histogram };
}

/** `null` for what is none. */
function toHistogram(value: unknown): Histogram | null {
  const bytes = bytesOf(value);
  if (bytes === null) return value === undefined ? new Histogram() : null;
  try {
    return Histogram.decode(bytes);
  } catch (cause) {
    log.debug("A histogram cannot be read", { cause });
    return null;
  }
}

/** A new state of a document: its key, what never changes, and the recount. */
export interface Replacement<Document extends CellsDocument> {
  readonly key: string;
  readonly fixed: Omit<Document, keyof ReturnType<typeof cellsContent> | "_id">;
  readonly cells: Cells;
}

/**
 * Replaces cells by recounts, each only if it does not count fewer events than what is there: of two recounts the later
 * has the larger count, because events are only ever added. What is there with more is newer, and stays.
 */
export async function replaceCells<Document extends CellsDocument>(
  collection: Collection<Document>,
  replacements: readonly Replacement<Document>[],
  session?: ClientSession,
): Promise<void> {
  if (replacements.length === 0) return;
  const operations = replacements.map(({ key, fixed, cells }) => {
    const content = cellsContent(cells);
    return {
      filter: { _id: key, count: { $lte: content.count } },
      update: { $set: { ...fixed, ...content } },
    };
  });
  const raced = await write(collection, operations, { upsert: true, session });
  // Another worker created these at the same moment, or they count more. A server does not repeat such an upsert by
  // itself; without `upsert` the same operation decides which it was.
  if (raced.length > 0) await write(collection, raced.map((index) => operations[index]!), { upsert: false, session });
}

interface CellsOperation {
  readonly filter: object;
  readonly update: object;
}

/** Runs updates; answers the indexes of those that were refused because the document is there. Rejects on any doubt. */
async function write<Document extends CellsDocument>(
  collection: Collection<Document>,
  operations: readonly CellsOperation[],
  { upsert, session }: { upsert: boolean; session: ClientSession | undefined },
): Promise<number[]> {
  const updates = operations.map(({ filter, update }) => ({ updateOne: { filter, update, upsert } }));
  try {
    await collection.bulkWrite(updates as Parameters<typeof collection.bulkWrite>[0], { ordered: false, session });
    return [];
  } catch (error) {
    const failed = writeErrorsOf(error);
    if (failed === null || !failed.every(isDuplicateKey)) throw error;
    return failed.map(({ index }) => index);
  }
}
