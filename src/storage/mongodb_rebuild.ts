/**
 * Replaces slices, minutes and hours by a recount, whatever their counts are. Each is replaced only if it is still as
 * it was when it was read, before its events were: so nothing that was settled meanwhile is taken back.
 */
import { getLogger } from "@logtape/logtape";
import { type ClientSession, type Collection, type Filter, type OptionalUnlessRequiredId } from "mongodb";
import { MONGODB_REBUILD_TRIES } from "../limits.ts";
import { HOUR_MS, MINUTE_MS } from "../window.ts";
import {
  Cells,
  cellsContent,
  type CellsDocument,
  readCells,
  readSoundCells,
  type Replacement,
  type SliceDocument,
} from "./mongodb_cells.ts";
import type { Collections } from "./mongodb_connection.ts";
import { isRefusedAsDuplicate } from "./mongodb_errors.ts";
import { countableOf, type EventDocument, hourKey, minuteKey } from "./mongodb_documents.ts";
import { eventsOf, type HourRecount } from "./mongodb_recount.ts";
import { minutesOf, replacementOf, type Span } from "./mongodb_settle.ts";
import { receivedUntil } from "./mongodb_slices.ts";

const log = getLogger(["eventhub", "mongodb"]);

/** Rebuilds an hour; minutes up to `frozen` stay as they are. */
export async function rebuildHour(
  collections: Collections,
  { tenant, hour, frozen }: { tenant: string; hour: HourRecount; frozen: number },
): Promise<void> {
  const end = hour.start + HOUR_MS;
  for (let start = Math.max(hour.start, frozen + MINUTE_MS); start < end; start += MINUTE_MS) {
    if (!hour.storedMinutes.has(start) && !hour.countedMinutes.has(start)) continue;
    await untilDone(() => rebuildMinute(collections, { key: minuteKey(tenant, start), tenant, start }));
  }
  await untilDone(() =>
    rebuildFromMinutes(collections, { key: hourKey(tenant, hour.start), tenant, start: hour.start })
  );
}

/** Who keeps changing a cell recounts it, too: after some tries it is left to them. */
async function untilDone(step: () => Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < MONGODB_REBUILD_TRIES; tries++) if (await step()) return;
}

/** A minute and its slices from their events; false when somebody changed one of them meanwhile. */
async function rebuildMinute(collections: Collections, span: Span): Promise<boolean> {
  const { slices, rollups, session } = collections;
  const [minute, storedSlices] = await Promise.all([
    rollups.findOne({ _id: span.key }, { session }),
    slices.find({ minute: span.key }, { session }).toArray(),
  ]);
  const counted = new Map<string, Replacement<SliceDocument>>();
  const total = new Cells();
  const { tenant, start } = span;
  for await (const event of eventsOf(collections, { tenant, from: start, to: start + MINUTE_MS })) {
    const countable = countableOf(event);
    if (countable === null) continue;
    let slice = counted.get(event.slice);
    if (slice === undefined) counted.set(event.slice, slice = sliceOf(event, span));
    slice.cells.add(countable.eventType, countable.amount);
    total.add(countable.eventType, countable.amount);
  }
  const stored = new Map(storedSlices.map((slice) => [slice._id, slice]));
  for (const key of new Set([...stored.keys(), ...counted.keys()])) {
    if (!await replaceAsRead({ collection: slices, session }, stored.get(key) ?? null, counted.get(key) ?? null)) {
      return false;
    }
  }
  return await replaceAsRead(
    { collection: rollups, session },
    minute,
    total.count === 0 ? null : replacementOf(span, total),
  );
}

/**
 * An hour from its minutes, the frozen ones too. Of a frozen minute that is damaged, what can be read is kept: its events
 * are gone, and nothing can be counted beside it while it is there.
 */
async function rebuildFromMinutes({ rollups, session }: Collections, span: Span): Promise<boolean> {
  const stored = await rollups.findOne({ _id: span.key }, { session });
  const cells = new Cells();
  for await (const minute of rollups.find(minutesOf(span), { session })) {
    const { cells: sound, damaged } = readSoundCells(minute);
    if (damaged.length > 0) {
      const replacement = { key: minute._id, fixed: { tenant: minute.tenant, start: minute.start }, cells: sound };
      if (!await replaceAsRead({ collection: rollups, session }, minute, replacement)) return false;
      log.warn("The cells of {key} are damaged and its events are purged: {damaged} is lost", {
        key: minute._id,
        damaged: damaged.join(", "),
      });
    }
    cells.merge(sound);
  }
  return await replaceAsRead(
    { collection: rollups, session },
    stored,
    cells.count === 0 ? null : replacementOf(span, cells),
  );
}

function sliceOf(
  { slice, received_at: received }: Pick<EventDocument, "slice" | "received_at">,
  { key, tenant, start }: Span,
): Replacement<SliceDocument> {
  const fixed = { tenant, start: new Date(start), minute: key, received: receivedUntil(slice) ?? received };
  return { key: slice, fixed, cells: new Cells() };
}

/** Where a recount goes. */
interface Target<Document extends CellsDocument> {
  readonly collection: Collection<Document>;
  readonly session: ClientSession | undefined;
}

/** Puts a recount in the place of what was read; false when that is no longer there. */
async function replaceAsRead<Document extends CellsDocument>(
  { collection, session }: Target<Document>,
  stored: CellsDocument | null,
  replacement: Replacement<Document> | null,
): Promise<boolean> {
  if (stored !== null && replacement !== null && isAs(stored, replacement.cells)) return true;
  if (stored === null) return replacement === null || await insert({ collection, session }, replacement);
  const asRead = { _id: stored._id, version: stored.version } as Filter<Document>;
  if (replacement === null) return (await collection.deleteOne(asRead, { session })).deletedCount === 1;
  const content = { ...replacement.fixed, ...cellsContent(replacement.cells) };
  const update = { $set: content as unknown as Partial<Document> };
  const { matchedCount } = await collection.updateOne(asRead, update, { session });
  return matchedCount === 1;
}

/** Whether a document holds these cells, and nothing of it is damaged. */
function isAs(stored: CellsDocument, cells: Cells): boolean {
  try {
    return stored.count === cells.count && readCells(stored).equals(cells);
  } catch {
    return false;
  }
}

async function insert<Document extends CellsDocument>(
  { collection, session }: Target<Document>,
  { key, fixed, cells }: Replacement<Document>,
): Promise<boolean> {
  try {
    const document = { _id: key, ...fixed, ...cellsContent(cells) };
    await collection.insertOne(document as unknown as OptionalUnlessRequiredId<Document>, { session });
    return true;
  } catch (error) {
    if (isRefusedAsDuplicate(error)) return false;
    throw error;
  }
}
