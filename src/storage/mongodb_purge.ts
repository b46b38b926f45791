/** Deletes the oldest events; their cells stay, and nothing as old as they were is taken any more. */
import { getLogger } from "@logtape/logtape";
import { type Filter, ObjectId } from "mongodb";
import {
  MONGODB_COMMAND_DOCUMENTS,
  MONGODB_PURGE_STATE_MS,
  PURGE_HELD_LOG_MS,
  PURGE_HOLD_WARNED_MS,
} from "../limits.ts";
import { describeHeld, fateOf, HELD_BY_IMPORT, type PurgeBorder } from "../retention.ts";
import { MINUTE_MS, minuteOf } from "../window.ts";
import { chunksOf, eachOf } from "./mongodb_batches.ts";
import type { Collections, MetaDocument, MoveDocument } from "./mongodb_connection.ts";
import type { EventDocument } from "./mongodb_documents.ts";
import { eventsBehind, placeOf } from "./mongodb_pages.ts";

const log = getLogger(["eventhub", "mongodb"]);

type MetaCollections = Pick<Collections, "meta" | "session">;

/** What was purged so far, by any process. It only ever grows. */
export class PurgeState {
  #throughMinute = -Infinity;
  #readAt = -Infinity;
  #heldToldAt = -Infinity;

  /**
   * Whether a time lies in a minute that lost events, or before it. Such a minute is frozen: its slices are gone, so
   * that it can be counted no more, and it takes no events.
   */
  covers(timestamp: number): boolean {
    return minuteOf(timestamp) <= this.#throughMinute;
  }

  /** The last minute that lost events, milliseconds; -Infinity when none did. */
  get throughMinute(): number {
    return this.#throughMinute;
  }

  /** Reads the state when the last reading is older than `MONGODB_PURGE_STATE_MS`. */
  async refresh(collections: MetaCollections): Promise<void> {
    const now = performance.now();
    if (now - this.#readAt > MONGODB_PURGE_STATE_MS) await this.read(collections);
  }

  /** Reads the state now. */
  async read({ meta, session }: MetaCollections): Promise<void> {
    const readAt = performance.now();
    const found = await meta.findOne({ _id: "purge" }, { session });
    this.#learn(found);
    this.#readAt = readAt;
  }

  /** Notes what is about to be purged, before it is: after a crash in between nothing is counted twice. */
  async raise({ meta, session }: MetaCollections, { through, pub }: { through: Date; pub?: Date }): Promise<void> {
    await meta.updateOne({ _id: "purge" }, { $max: { through, ...(pub && { pub }) } }, { upsert: true, session });
    this.#learn({ _id: "purge", through });
  }

  /** Warns once in a while that an import keeps everything. */
  tellHeld(): void {
    const now = performance.now();
    if (now - this.#heldToldAt < PURGE_HELD_LOG_MS) return;
    this.#heldToldAt = now;
    log.warn(HELD_BY_IMPORT);
  }

  #learn(found: MetaDocument | null): void {
    if (found?.through) this.#throughMinute = Math.max(this.#throughMinute, minuteOf(found.through.getTime()));
  }
}

/** Which events may go; it stands in the delete itself. What was erased is not waiting to be published. */
const DELETABLE: Filter<EventDocument> = {
  pend: { $exists: false },
  $or: [{ unpub: { $exists: false } }, { erased: true }],
};

type Doomed = Pick<
  EventDocument,
  "_id" | "timestamp" | "received_at" | "pub" | "arrival" | "pend" | "unpub" | "erased"
>;

/**
 * What a purge works with. `settle` counts what is not counted, and answers from which minute on it could not; `now` is
 * the server's clock, milliseconds.
 */
interface PurgeOptions {
  readonly border: PurgeBorder;
  readonly state: PurgeState;
  readonly settle: () => Promise<{ readonly damagedFrom: number }>;
  readonly now: () => number;
}

/**
 * Deletes what {@link fateOf} says, in the order of publication, up to the first event that stays. While an event is
 * not counted whose minute would lose others, nothing goes: what is left of a minute cannot be counted afterwards.
 */
export async function purge(collections: Collections, { border, state, settle, now }: PurgeOptions): Promise<number> {
  const { events, session } = collections;
  if (await collections.moves.findOne({ _id: IMPORT_MARK }, { session }) !== null) {
    state.tellHeld();
    return 0;
  }
  if (await isMoved(collections, now())) return 0;
  let settledAt = now();
  let { damagedFrom } = await settle();
  let purged = 0;
  /** Stored while the clock was ahead: they go with the next event that is due. */
  let ahead: Doomed[] = [];
  for (let after: Doomed | null = null, end = false; !end;) {
    const page: Doomed[] = await events.find<Doomed>(
      eventsBehind(after && placeOf(after)),
      { projection: { timestamp: 1, received_at: 1, pub: 1, arrival: 1, pend: 1, unpub: 1, erased: 1 }, session },
    ).sort({ pub: 1, arrival: 1 }).limit(MONGODB_COMMAND_DOCUMENTS).toArray();
    after = page.at(-1) ?? null;
    const found = [...ahead, ...page.filter(isSound)];
    const { count, isEnd } = dueOf(found, border);
    end = isEnd || page.length < MONGODB_COMMAND_DOCUMENTS;
    ahead = found.slice(count);
    // A clock that was ahead for so long that this is much is not waited out in memory.
    if (ahead.length > AHEAD_EVENTS) end = true;
    const doomed = found.slice(0, count).filter(({ pend, unpub, erased }) => !pend && (!unpub || erased));
    if (doomed.length === 0) continue;
    const through = new Date(Math.max(...doomed.map((event) => event.timestamp.getTime())));
    if (await isMoved(collections, now())) break;
    // Nothing is taken from a minute that waits for a rebuild: afterwards it could not be counted.
    if (damagedFrom <= through.getTime()) break;
    const raised = minuteOf(through.getTime()) > state.throughMinute;
    await state.raise(collections, { through, pub: doomed.at(-1)!.pub });
    // A minute that loses events cannot be counted afterwards: what came in meanwhile is counted first.
    if (raised) {
      settledAt = now();
      ({ damagedFrom } = await settle());
    }
    if (damagedFrom <= through.getTime()) break;
    if (await isUncounted(collections, { through, settledAt })) break;
    purged += await remove(collections, doomed);
  }
  if (purged > 0) await forgetSlices(collections, border, state);
  return purged;
}

/** The documents of `meta` that say so. */
export const MOVES: Filter<MoveDocument> = { _id: { $gte: "move:", $lt: "move;" } };

/** The one that an import leaves until it is complete. */
export const IMPORT_MARK = "move:import";

/** Whether the store is being moved: events that retention would not keep are still to come, or to be read. */
async function isMoved({ moves, session }: Collections, now: number): Promise<boolean> {
  return await moves.findOne({ $or: [{ ...MOVES, until: { $gt: new Date(now) } }, { _id: IMPORT_MARK }] }, {
    session,
  }) !== null;
}

/** So many are held in memory at most. */
const AHEAD_EVENTS = 20 * MONGODB_COMMAND_DOCUMENTS;

/** Whether it is an event, and not what somebody made of one by hand: that is stepped over. */
function isSound({ _id, timestamp, received_at, arrival }: Doomed): boolean {
  return typeof _id === "string" && timestamp instanceof Date && received_at instanceof Date &&
    arrival instanceof ObjectId;
}

/** How many go, up to the last one that is due; and whether the purge ends with these. */
function dueOf(found: readonly Doomed[], border: PurgeBorder): { count: number; isEnd: boolean } {
  let count = 0;
  for (const [i, { _id, timestamp, received_at: receivedAt }] of found.entries()) {
    const fate = fateOf({ timestamp: timestamp.getTime(), receivedAt: receivedAt.getTime() }, border);
    if (fate === "due") count = i + 1;
    if (fate === "held" && timestamp.getTime() - border.receivedBefore > PURGE_HOLD_WARNED_MS) {
      log.warn(describeHeld({ id: _id.slice(_id.indexOf(":") + 1), timestamp: timestamp.getTime() }));
    }
    if (fate === "held" || fate === "kept") return { count, isEnd: true };
  }
  return { count, isEnd: false };
}

/** Whether an event came after everything was counted, of a minute that would lose some. Found by an index of few. */
async function isUncounted(
  { events, session }: Collections,
  { through, settledAt }: { through: Date; settledAt: number },
): Promise<boolean> {
  const end = new Date(minuteOf(through.getTime()) + MINUTE_MS);
  const filter = { pend: { $exists: true }, pub: { $gte: new Date(settledAt) }, timestamp: { $lt: end } };
  return await events.findOne(filter, { projection: { _id: 1 }, session }) !== null;
}

async function remove({ events, session }: Collections, doomed: readonly Doomed[]): Promise<number> {
  const removed = await eachOf(chunksOf(doomed, MONGODB_COMMAND_DOCUMENTS), async (chunk) => {
    const { deletedCount } = await events.deleteMany({
      _id: { $in: chunk.map((event) => event._id) },
      arrival: { $in: chunk.map((event) => event.arrival) },
      ...DELETABLE,
    }, { session });
    return deletedCount;
  });
  return removed.reduce((sum, count) => sum + count, 0);
}

/**
 * Slices go with their events: those of frozen minutes that were received before the border. In small steps, because a
 * first purge meets those of years.
 */
async function forgetSlices(
  { slices, session }: Collections,
  { receivedBefore }: PurgeBorder,
  state: PurgeState,
): Promise<void> {
  const border = new Date(Math.floor(receivedBefore / 1_000) * 1_000);
  const frozen = { start: { $lte: new Date(state.throughMinute) } };
  for (let from = new Date(0);;) {
    const found = await slices.find({ received: { $gte: from, $lt: border }, ...frozen }, {
      projection: { received: 1 },
      session,
    }).sort({ received: 1 }).limit(MONGODB_COMMAND_DOCUMENTS).toArray();
    if (found.length === 0) return;
    await slices.deleteMany({ _id: { $in: found.map(({ _id }) => _id) }, ...frozen }, { session });
    from = found.at(-1)!.received;
  }
}
