/** Deletes the oldest events; their cells stay, and nothing as old as they were is taken any more. */
import type { Collection, Filter } from "mongodb";
import { MONGODB_COMMAND_DOCUMENTS, MONGODB_PURGE_STATE_MS } from "../limits.ts";
import { minuteOf } from "../window.ts";
import type { Collections, PurgeDocument } from "./mongodb_connection.ts";
import type { EventDocument } from "./mongodb_documents.ts";
import { eventsBehind } from "./mongodb_pages.ts";

/** What was purged so far, by any process. It only ever grows. */
export class PurgeState {
  #throughMinute = -Infinity;
  #readAt = -Infinity;

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
  async refresh(meta: Collection<PurgeDocument>): Promise<void> {
    const now = performance.now();
    if (now - this.#readAt > MONGODB_PURGE_STATE_MS) await this.read(meta);
  }

  /** Reads the state now. */
  async read(meta: Collection<PurgeDocument>): Promise<void> {
    const readAt = performance.now();
    const found = await meta.findOne({ _id: "purge" });
    this.#learn(found);
    this.#readAt = readAt;
  }

  /** Notes what is about to be purged, before it is: after a crash in between nothing is counted twice. */
  async raise(meta: Collection<PurgeDocument>, { through, pub }: { through: Date; pub: Date }): Promise<void> {
    await meta.updateOne({ _id: "purge" }, { $max: { through, pub } }, { upsert: true });
    this.#learn({ _id: "purge", through, pub });
  }

  #learn(found: PurgeDocument | null): void {
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
 * Deletes the events received before a time, in the order of publication up to where newer ones begin. `settle` counts
 * what is not counted: it is called once no event of the minutes concerned can come in any more.
 */
export async function purge(
  { events, slices, meta }: Collections,
  { receivedBefore, state, settle }: { receivedBefore: number; state: PurgeState; settle: () => Promise<unknown> },
): Promise<number> {
  const border = new Date(receivedBefore);
  await settle();
  let purged = 0;
  for (let after: Doomed | null = null, end = false; !end;) {
    const page: Doomed[] = await events.find<Doomed>(
      eventsBehind(after && { pub: after.pub.getTime(), key: after._id }),
      { projection: { timestamp: 1, received_at: 1, pub: 1, arrival: 1, pend: 1, unpub: 1, erased: 1 } },
    ).sort({ pub: 1, _id: 1 }).limit(MONGODB_COMMAND_DOCUMENTS).toArray();
    const old = page.filter((event) => event.received_at < border);
    end = page.length < MONGODB_COMMAND_DOCUMENTS || old.length < page.length;
    after = page.at(-1) ?? null;
    const doomed = old.filter(({ pend, unpub, erased }) => !pend && (!unpub || erased));
    if (doomed.length === 0) continue;
    const through = new Date(Math.max(...doomed.map((event) => event.timestamp.getTime())));
    const raised = minuteOf(through.getTime()) > state.throughMinute;
    await state.raise(meta, { through, pub: doomed.at(-1)!.pub });
    // A minute that loses events cannot be counted afterwards: what came in meanwhile is counted first.
    if (raised) await settle();
    const { deletedCount } = await events.deleteMany({
      _id: { $in: doomed.map((event) => event._id) },
      arrival: { $in: doomed.map((event) => event.arrival) },
      ...DELETABLE,
    });
    purged += deletedCount;
  }
  if (purged > 0) await forgetSlices({ events, slices }, border, state);
  return purged;
}

/** Slices go with their events: those of frozen minutes that were received before the border. */
async function forgetSlices(
  { slices }: Pick<Collections, "events" | "slices">,
  border: Date,
  state: PurgeState,
): Promise<void> {
  const second = new Date(Math.floor(border.getTime() / 1_000) * 1_000);
  await slices.deleteMany({ received: { $lt: second }, start: { $lte: new Date(state.throughMinute) } });
}
