/** What a stream asks of the store: the order of publication, what may be missing in it, and the epochs of the stream. */
import { type Collection, type Filter } from "mongodb";
import { HubError } from "../errors.ts";
import { MONGODB_COMMAND_DOCUMENTS, MONGODB_READ_MS, MONGODB_REPLY_DOCUMENTS } from "../limits.ts";
import {
  comparePlaces,
  type Epoch,
  type Insertion,
  type PublicationPage,
  type PublicationPlace,
  type PublicationSource,
  type StoredEvent,
} from "../publication.ts";
import type { Appender } from "./mongodb_append.ts";
import { chunksOf, eachOf } from "./mongodb_batches.ts";
import type { EpochDocument, MongoConnection } from "./mongodb_connection.ts";
import { isRefusedAsDuplicate } from "./mongodb_errors.ts";
import { type EventDocument, fromDocument, insertionOf } from "./mongodb_documents.ts";
import { eventsBehind, placeOf } from "./mongodb_pages.ts";

/** The store as a stream sees it. */
export class Publications implements PublicationSource {
  readonly #connection: MongoConnection;
  readonly #appender: Appender;

  constructor(connection: MongoConnection, appender: Appender) {
    this.#connection = connection;
    this.#appender = appender;
  }

  now(): number {
    return this.#connection.now();
  }

  watchStored(listener: (group: readonly StoredEvent[]) => void): () => void {
    return this.#appender.watch(listener);
  }

  published(
    { after, until, limit, tenant }: { after: PublicationPlace; until?: number; limit: number; tenant?: string },
  ): Promise<PublicationPage> {
    return this.#connection.read(async ({ events }) => {
      const found = await events.find(eventsBehind(after, until), { maxTimeMS: MONGODB_READ_MS })
        .sort({ pub: 1, arrival: 1 })
        .limit(limit).batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
      const last = found.at(-1);
      return {
        entries: visible(found).filter(({ event }) => tenant === undefined || event.tenant === tenant),
        place: last === undefined ? after : placeOf(last),
        caughtUp: found.length < limit,
      };
    });
  }

  firstReceived({ pub, receivedAt }: { pub: number; receivedAt: number }): Promise<PublicationPlace | null> {
    return this.#connection.run(async ({ events }) => {
      const filter = { pub: { $gte: new Date(pub) }, received_at: { $gte: new Date(receivedAt) } };
      const found = await events.findOne(filter, { projection: { pub: 1, arrival: 1 }, sort: { pub: 1, arrival: 1 } });
      return found === null ? null : placeOf(found);
    });
  }

  oldest(): Promise<number | null> {
    return this.#end(1);
  }

  newest(): Promise<number | null> {
    return this.#end(-1);
  }

  purgedUntil(): Promise<number | null> {
    return this.#connection.run(async ({ meta }) => (await meta.findOne({ _id: "purge" }))?.pub?.getTime() ?? null);
  }

  async republishAt(insertions: readonly Insertion[], pub: number): Promise<void> {
    await this.#update(insertions, (events, filter) => events.updateMany(filter, { $set: { pub: new Date(pub) } }));
  }

  uncountedOf(insertions: readonly Insertion[]): Promise<ReadonlySet<string>> {
    return this.#connection.run(async ({ events }) => {
      const names = new Set<string>();
      for (const chunk of chunksOf(insertions, MONGODB_COMMAND_DOCUMENTS)) {
        const found = await events.find({ ...these(chunk), pend: { $exists: true } }, { projection: { arrival: 1 } })
          .batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
        for (const { arrival } of found) names.add(arrival.toHexString());
      }
      return names;
    });
  }

  unpublished(limit: number): Promise<readonly StoredEvent[]> {
    return this.#connection.run(async ({ events }) => {
      // Erasure may have come between the reading and the clearing of a pass.
      await events.updateMany({ unpub: { $exists: true }, erased: true }, { $unset: { unpub: "" } });
      const found = await events.find({ unpub: { $exists: true } }).sort({ pub: 1 })
        .limit(limit).batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
      return visible(found).sort(comparePlaces);
    });
  }

  async markPublished(insertions: readonly Insertion[]): Promise<void> {
    await this.#update(insertions, (events, filter) => events.updateMany(filter, { $unset: { unpub: "" } }));
  }

  database(): Promise<string> {
    return this.#connection.run(async ({ meta }) => {
      const id = crypto.randomUUID().replaceAll("-", "");
      try {
        await meta.updateOne({ _id: "database" }, { $setOnInsert: { id } }, { upsert: true });
      } catch (error) {
        // Another process names it at the same moment.
        if (!isRefusedAsDuplicate(error)) throw error;
      }
      const found = await meta.findOne({ _id: "database" });
      if (typeof found?.id !== "string") throw new HubError("unavailable", "The database has no name in `meta`");
      return found.id;
    });
  }

  epochs(): Promise<readonly Epoch[]> {
    return this.#connection.run(async ({ epochs }) => {
      const found = await epochs.find().sort({ _id: 1 }).toArray();
      // Earlier versions kept one time.
      return found.map(({ _id, started_at: startedAt, ...one }): Epoch => ({
        number: _id,
        startedAt: startedAt.getTime(),
        lostUntil: (one.lost_until ?? startedAt).getTime(),
        followedAt: (one.followed_at ?? startedAt).getTime(),
        runId: one.run_id,
        marker: one.marker,
      }));
    });
  }

  followEpoch(number: number): Promise<boolean> {
    return this.#connection.run(async ({ epochs }) => {
      await epochs.updateOne({ _id: number }, { $set: { followed_at: new Date(this.now()) } });
      const [current] = await epochs.find().sort({ _id: -1 }).limit(1).toArray();
      return current?._id === number;
    });
  }

  beginEpoch(epoch: Epoch, expected: number): Promise<boolean> {
    if (epoch.number !== expected + 1) {
      throw new RangeError(`Cannot begin an epoch behind ${expected} as its number is ${epoch.number}`);
    }
    return this.#connection.run(async ({ epochs }) => {
      const [current] = await epochs.find().sort({ _id: -1 }).limit(1).toArray();
      if ((current?._id ?? 0) !== expected) return false;
      return await insertEpoch(epochs, epoch);
    });
  }

  /** The `pub` of the first or the last event. */
  #end(direction: 1 | -1): Promise<number | null> {
    return this.#connection.run(async ({ events }) => {
      const order = { projection: { pub: 1 }, sort: { pub: direction, arrival: direction } } as const;
      return (await events.findOne(eventsBehind(null), order))?.pub.getTime() ?? null;
    });
  }

  #update(
    insertions: readonly Insertion[],
    update: (events: Collection<EventDocument>, filter: Filter<EventDocument>) => Promise<unknown>,
  ): Promise<unknown> {
    return this.#connection.run(({ events }) =>
      eachOf(chunksOf(insertions, MONGODB_COMMAND_DOCUMENTS), (chunk) => update(events, these(chunk)))
    );
  }
}

/** These insertions. */
function these(insertions: readonly Insertion[]): Filter<EventDocument> {
  return {
    _id: { $in: insertions.map(({ key }) => key) },
    arrival: { $in: insertions.map(({ pend }) => insertionOf(pend)) },
  };
}

/** The number is the key: of two processes that begin it at once, one is first. */
async function insertEpoch(epochs: Collection<EpochDocument>, epoch: Epoch): Promise<boolean> {
  const { number, runId, marker } = epoch;
  const times = {
    started_at: new Date(epoch.startedAt),
    lost_until: new Date(epoch.lostUntil),
    followed_at: new Date(epoch.followedAt),
  };
  try {
    await epochs.insertOne({ _id: number, ...times, run_id: runId, marker });
    return true;
  } catch (error) {
    if (isRefusedAsDuplicate(error)) return false;
    throw error;
  }
}

/** What may be handed out. */
function visible(found: readonly EventDocument[]): StoredEvent[] {
  const entries: StoredEvent[] = [];
  for (const document of found) {
    const stored = fromDocument(document);
    if (stored === null || stored.erased) continue;
    const { key, event, pub, pend } = stored;
    entries.push({ key, event, pub, pend });
  }
  return entries;
}
