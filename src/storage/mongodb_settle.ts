/**
 * Counts events into cells by recomputing, without transactions. The steps, each of which anybody may repeat at any
 * time, are those of docs/design.md: read the events that carry `pend`; recompute each slice they touch from its
 * events, then each minute from its slices, then each hour from its minutes; only then clear `pend` of exactly those
 * that were read before. An event that a scan missed still carries its `pend`, and its own pass sees everything.
 */
import { getLogger } from "@logtape/logtape";
import type { Filter } from "mongodb";
import {
  MONGODB_COMMAND_DOCUMENTS,
  MONGODB_REPLY_DOCUMENTS,
  MONGODB_SETTLE_CELLS,
  MONGODB_SETTLE_EVENTS,
} from "../limits.ts";
import type { Insertion, SettleSource } from "../publication.ts";
import type { ChangedCell } from "../stream.ts";
import { hourOf, minuteOf } from "../window.ts";
import {
  Cells,
  type CellsDocument,
  DamagedCells,
  readCells,
  replaceCells,
  type Replacement,
  type SliceDocument,
} from "./mongodb_cells.ts";
import { chunksOf, eachOf } from "./mongodb_batches.ts";
import type { Collections, MongoConnection } from "./mongodb_connection.ts";
import { ChangedCells } from "./mongodb_changed_cells.ts";
import { countableOf, hourKey, insertionOf, minuteKey } from "./mongodb_documents.ts";
import { receivedUntil } from "./mongodb_slices.ts";
import { dueAt, isSound, oldest, read, type Uncounted, waitingSince } from "./mongodb_uncounted.ts";

/** How a pass clears what it counted. */
export type Clearing =
  /** They are known to be published, or nobody publishes. */
  | "counted"
  /** Whether they were published is not known. */
  | "unpublished"
  /** Not at all: somebody else will, who knows whether they were published. */
  | "left";

/** What a sweep did. */
export interface Sweep {
  /** Events that were counted; some perhaps once more. */
  readonly settled: number;
  readonly changed: readonly ChangedCell[];
  /** Start of the first minute whose events could not be counted, because cells of it are damaged; Infinity = none. */
  readonly damagedFrom: number;
}

const log = getLogger(["eventhub", "mongodb"]);

/** So many damaged cells are remembered as told. */
const TOLD_MAX = 1_000;

/** Counts what is not counted. */
export class Settler implements SettleSource {
  readonly #connection: MongoConnection;
  readonly #told = new Set<string>();

  constructor(connection: MongoConnection) {
    this.#connection = connection;
  }

  settleThese(insertions: readonly Insertion[]): Promise<readonly ChangedCell[]> {
    return this.#connection.causally(async (collections) => {
      const changed = new ChangedCells();
      for (const part of chunksOf(insertions, MONGODB_SETTLE_EVENTS)) {
        const found = await eachOf(chunksOf(part, MONGODB_COMMAND_DOCUMENTS), (chunk) =>
          read(collections, {
            _id: { $in: chunk.map(({ key }) => key) },
            pend: { $in: chunk.map(({ pend }) => insertionOf(pend)) },
          }));
        const events = found.flat();
        this.#tell((await pass(collections, events, "counted")).damaged);
        changed.add(events.filter(isSound));
      }
      return changed.cells;
    });
  }

  sweep({ ageMs }: { ageMs: number }): Promise<{ settled: number; changed: readonly ChangedCell[] }> {
    return this.#connection.causally(async (collections) => {
      const { settled, changed } = await this.sweepIn(collections, { ageMs, clearing: "unpublished" });
      return { settled, changed };
    });
  }

  uncountedSince(): Promise<number | null> {
    return this.#connection.run((collections) => waitingSince(collections, this.#connection.now()));
  }

  /** As {@link sweep}, in the session of a caller, who wants to hear of at most `namedMax` changed cells. */
  async sweepIn(
    collections: Collections,
    { ageMs, clearing, namedMax }: { ageMs: number; clearing: Clearing; namedMax?: number },
  ): Promise<Sweep> {
    const changed = new ChangedCells({ max: namedMax });
    let [settled, damagedFrom] = [0, Infinity];
    for (const among of dueAt(this.#connection.now(), ageMs)) {
      for (let after: Uncounted | null = null, isEnd = false; !isEnd;) {
        const events: Uncounted[] = await oldest(collections, { among, after });
        const done = await pass(collections, events, clearing);
        settled += done.settled;
        this.#tell(done.damaged);
        for (const { minute } of done.damaged) damagedFrom = Math.min(damagedFrom, minute);
        changed.add(events.filter(isSound));
        isEnd = events.length < MONGODB_SETTLE_EVENTS;
        after = events.at(-1) ?? null;
      }
    }
    return { settled, changed: changed.cells, damagedFrom };
  }

  /** Every pass meets them again until somebody mends them. */
  #tell(damaged: readonly Damage[]): void {
    for (const { error } of damaged) {
      if (this.#told.has(error.key) || this.#told.size === TOLD_MAX) continue;
      this.#told.add(error.key);
      log.error("Events of {tenant} are not counted until it is mended: {problem}", {
        tenant: error.key.slice(0, error.key.indexOf(":")),
        problem: error.message,
      });
    }
  }
}

/** A minute whose events cannot be counted, milliseconds, and why. */
interface Damage {
  readonly minute: number;
  readonly error: DamagedCells;
}

/**
 * Recomputes everything that the events touch, then clears exactly these. Answers how many were cleared by this pass.
 * Events of a minute or an hour that cannot be recomputed, because cells it is made of are damaged, keep their mark.
 */
async function pass(
  collections: Collections,
  found: readonly Uncounted[],
  clearing: Clearing,
): Promise<{ settled: number; damaged: readonly Damage[] }> {
  const events = found.filter(isSound);
  if (events.length === 0) return { settled: 0, damaged: [] };
  await recomputeSlices(collections, events);
  const minutes = new Map<string, Span>();
  const hours = new Map<string, Span>();
  for (const { tenant, timestamp } of events) {
    const time = timestamp.getTime();
    const [minute, hour] = [minuteKey(tenant, time), hourKey(tenant, time)];
    if (!minutes.has(minute)) minutes.set(minute, { key: minute, tenant, start: minuteOf(time) });
    if (!hours.has(hour)) hours.set(hour, { key: hour, tenant, start: hourOf(time) });
  }
  const { damagedMinutes, damagedHours } = await recompute(collections, {
    minutes: [...minutes.values()],
    hours: [...hours.values()],
  });
  const damaged = [...minutes.values()].flatMap(({ key, tenant, start }): Damage[] => {
    const error = damagedMinutes.get(key) ?? damagedHours.get(hourKey(tenant, start));
    return error === undefined ? [] : [{ minute: start, error }];
  });
  const counted = damaged.length === 0 ? events : events.filter(({ tenant, timestamp }) => {
    const time = timestamp.getTime();
    return !damagedMinutes.has(minuteKey(tenant, time)) && !damagedHours.has(hourKey(tenant, time));
  });
  return { settled: await clear(collections, counted, clearing), damaged };
}

/** Recomputes minutes from their slices, then hours from their minutes. Answers which could not be, by key. */
export async function recompute(
  collections: Collections,
  { minutes, hours }: { minutes: readonly Span[]; hours: readonly Span[] },
): Promise<{ damagedMinutes: Damaged; damagedHours: Damaged }> {
  const damagedMinutes = await recomputeMinutes(collections, minutes);
  return { damagedMinutes, damagedHours: await recomputeHours(collections, hours) };
}

/** What cannot be recomputed, by key, and why. */
type Damaged = ReadonlyMap<string, DamagedCells>;

/** A minute or an hour of a tenant. */
export interface Span {
  /** `_id` of its cells. */
  readonly key: string;
  readonly tenant: string;
  /** Its start, milliseconds. */
  readonly start: number;
}

/** Slices from their events. */
async function recomputeSlices({ events, slices, session }: Collections, touched: readonly Uncounted[]): Promise<void> {
  const bySlice = new Map(touched.map((event) => [event.slice, event]));
  await eachOf(chunksOf([...bySlice.values()], MONGODB_SETTLE_CELLS), async (chunk) => {
    const counted = new Map(chunk.map(({ slice }) => [slice, new Cells()]));
    const found = events.find({ slice: { $in: [...counted.keys()] } }, {
      projection: { _id: 0, slice: 1, event_type: 1, amount: 1 },
      session,
    }).batchSize(MONGODB_REPLY_DOCUMENTS);
    for await (const event of found) {
      const countable = countableOf(event);
      if (countable !== null) counted.get(event.slice)!.add(countable.eventType, countable.amount);
    }
    const replacements = chunk.map((
      { slice, tenant, timestamp, received_at: received },
    ): Replacement<SliceDocument> => ({
      key: slice,
      fixed: {
        tenant,
        start: new Date(minuteOf(timestamp.getTime())),
        minute: minuteKey(tenant, timestamp.getTime()),
        received: receivedUntil(slice) ?? received,
      },
      cells: counted.get(slice)!,
    }));
    await replaceCells(slices, replacements, session);
  });
}

/** Minutes from their slices. Answers which could not be recomputed, by key. */
async function recomputeMinutes(
  { slices, rollups, session }: Collections,
  minutes: readonly Span[],
): Promise<Map<string, DamagedCells>> {
  const damaged = new Map<string, DamagedCells>();
  await eachOf(chunksOf(minutes, MONGODB_SETTLE_CELLS), async (chunk) => {
    const counted = new Map(chunk.map(({ key }) => [key, new Cells()]));
    const found = slices.find({ minute: { $in: [...counted.keys()] } }, { session }).batchSize(MONGODB_REPLY_DOCUMENTS);
    for await (const slice of found) {
      mergeUnlessDamaged(slice, { of: slice.minute, into: counted.get(slice.minute)!, damaged });
    }
    const sound = chunk.filter(({ key }) => !damaged.has(key));
    await replaceCells(rollups, sound.map((span) => replacementOf(span, counted.get(span.key)!)), session);
  });
  return damaged;
}

/** Hours from their minutes. Answers which could not be recomputed, by key. */
async function recomputeHours(
  { rollups, session }: Collections,
  hours: readonly Span[],
): Promise<Map<string, DamagedCells>> {
  const damaged = new Map<string, DamagedCells>();
  // Each hour is read by itself, by the beginning of its keys; they are written together, for each write waits for disks.
  for (const chunk of chunksOf(hours, MONGODB_SETTLE_CELLS)) {
    const counted = await eachOf(chunk, async (span) => {
      const cells = new Cells();
      for await (const minute of rollups.find(minutesOf(span), { session }).batchSize(MONGODB_REPLY_DOCUMENTS)) {
        mergeUnlessDamaged(minute, { of: span.key, into: cells, damaged });
      }
      return replacementOf(span, cells);
    });
    await replaceCells(rollups, counted.filter(({ key }) => !damaged.has(key)), session);
  }
  return damaged;
}

/** Adds the cells of a document, or notes what cannot be counted because of it. */
function mergeUnlessDamaged(
  document: CellsDocument,
  { of, into, damaged }: { of: string; into: Cells; damaged: Map<string, DamagedCells> },
): void {
  try {
    into.merge(readCells(document));
  } catch (error) {
    if (!(error instanceof DamagedCells)) throw error;
    damaged.set(of, error);
  }
}

/** The filter of the minutes of an hour: their keys begin alike. */
export function minutesOf({ tenant, start }: Span): Filter<CellsDocument> {
  const first = minuteKey(tenant, start);
  return { _id: { $gte: first, $lt: `${first.slice(0, -2)};` } };
}

/** A new state of the cells of a span. */
export function replacementOf({ key, tenant, start }: Span, cells: Cells): Replacement<CellsDocument> {
  return { key, fixed: { tenant, start: new Date(start) }, cells };
}

async function clear(
  { events, session }: Collections,
  counted: readonly Uncounted[],
  clearing: Clearing,
): Promise<number> {
  if (clearing === "left") return counted.length;
  const cleared = await eachOf(chunksOf(counted, MONGODB_COMMAND_DOCUMENTS), async (chunk) => {
    let cleared = 0;
    // Nobody hands out what was erased, so it must not wait for that.
    for (const [erased, part] of Map.groupBy(chunk, (event) => event.erased === true)) {
      const mark = clearing === "unpublished" && !erased;
      const { modifiedCount } = await events.updateMany(
        { _id: { $in: part.map(({ _id }) => _id) }, pend: { $in: part.map(({ pend }) => pend!) } },
        { $unset: { pend: "" }, ...(mark && { $set: { unpub: true as const } }) },
        { session },
      );
      cleared += modifiedCount;
    }
    return cleared;
  });
  return cleared.reduce((sum, count) => sum + count, 0);
}
