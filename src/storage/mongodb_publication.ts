/** What a stream asks of the store: the order of publication, what may be missing in it, and the epochs of the stream. */
import { type Collection, type Filter } from "mongodb";
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
    return this.#connection.run(async ({ events }) => {
      const found = await events.findOne(eventsBehind(null), { projection: { pub: 1 }, sort: { pub: 1, arrival: 1 } });
      return found?.pub.getTime() ?? null;
    });
  }

  purgedUntil(): Promise<number | null> {
    return this.#connection.run(async ({ meta }) => (await meta.findOne({ _id: "purge" }))?.pub?.getTime() ?? null);
  }

  async republishAt(insertions: readonly Insertion[], pub: number): Promise<void> {
    await this.#update(insertions, (events, filter) => events.updateMany(filter, { $set: { pub: new Date(pub) } }));
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

  epochs(): Promise<readonly Epoch[]> {
    return this.#connection.run(async ({ epochs }) => {
      const found = await epochs.find().sort({ _id: 1 }).toArray();
      return found.map(({ _id, started_at: startedAt, run_id: runId, marker }): Epoch => ({
        number: _id,
        startedAt: startedAt.getTime(),
        runId,
        marker,
      }));
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

  #update(
    insertions: readonly Insertion[],
    update: (events: Collection<EventDocument>, filter: Filter<EventDocument>) => Promise<unknown>,
  ): Promise<unknown> {
    return this.#connection.run(({ events }) =>
      eachOf(chunksOf(insertions, MONGODB_COMMAND_DOCUMENTS), (chunk) =>
        update(events, {
          _id: { $in: chunk.map(({ key }) => key) },
          arrival: { $in: chunk.map(({ pend }) => insertionOf(pend)) },
        }))
    );
  }
}

/** The number is the key: of two processes that begin it at once, one is first. */
async function insertEpoch(epochs: Collection<EpochDocument>, epoch: Epoch): Promise<boolean> {
  const { number, startedAt, runId, marker } = epoch;
  try {
    await epochs.insertOne({ _id: number, started_at: new Date(startedAt), run_id: runId, marker });
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
