/** The indexes of the database: no more than the questions ask for, since each one costs every insert. */
import { getLogger } from "@logtape/logtape";
import {
  type Collection,
  type CreateIndexesOptions,
  type Document,
  type IndexSpecification,
  MongoError,
} from "mongodb";
import type { Collections } from "./mongodb_connection.ts";

const log = getLogger(["eventhub", "mongodb"]);

/** An index and the questions it answers. */
interface Index {
  readonly collection: Exclude<keyof Collections, "session">;
  readonly keys: IndexSpecification;
  readonly options?: CreateIndexesOptions;
}

const INDEXES: readonly Index[] = [
  // Recount of a slice (settle). In the order of time, as events come in.
  { collection: "events", keys: { slice: 1 } },
  // Replay in the order of publication, `oldest`, purge. In the order of insertion.
  { collection: "events", keys: { pub: 1, arrival: 1 } },
  // The oldest that nobody counted (sweep, settle). Holds only those.
  {
    collection: "events",
    keys: { pub: 1, pend: 1 },
    options: { name: "uncounted", partialFilterExpression: { pend: { $exists: true } } },
  },
  // The oldest that are perhaps not published. Holds only those.
  {
    collection: "events",
    keys: { pub: 1, unpub: 1 },
    options: { name: "unpublished", partialFilterExpression: { unpub: { $exists: true } } },
  },
  // Pages of a list, edges of a count, recounts by verify and rebuild; types are looked at in the index.
  { collection: "events", keys: { tenant: 1, timestamp: 1, arrival: 1, event_type: 1 } },
  // Pages of a list of one user, and erasure.
  { collection: "events", keys: { tenant: 1, user_id: 1, timestamp: 1, arrival: 1 } },
  // Recount of a minute from its slices.
  { collection: "slices", keys: { minute: 1 } },
  // Slices go with their events (purge).
  { collection: "slices", keys: { received: 1 } },
  // Pages of dead letters, and the oldest of a tenant.
  { collection: "deadLetters", keys: { tenant: 1, arrival: 1 } },
  // Erasure.
  { collection: "deadLetters", keys: { tenant: 1, user_id: 1 } },
];

/** Indexes of earlier versions, by name: they would cost every insert for nothing. */
const OBSOLETE: readonly Pick<Index & { readonly name: string }, "collection" | "name">[] = [
  { collection: "events", name: "pub_1__id_1" },
];

const NAMESPACE_NOT_FOUND = 26;

/**
 * Creates what is missing, and only that: creating takes rights that reading and writing do not. Then drops what earlier
 * versions had in its place.
 */
export async function createIndexes(collections: Collections): Promise<void> {
  for (const name of new Set(INDEXES.map((index) => index.collection))) {
    const collection = collections[name] as unknown as Collection<Document>;
    const there = await existingIndexes(collection);
    for (const { collection: of, keys, options = {} } of INDEXES) {
      const indexName = options.name ?? Object.entries(keys).flat().join("_");
      if (of === name && !there.has(indexName)) await collection.createIndex(keys, { ...options, name: indexName });
    }
    for (const { collection: of, name: indexName } of OBSOLETE) {
      if (of === name && there.has(indexName)) await dropIndex(collection, indexName);
    }
  }
}

/** A hub works with an index too many, and another process may have been faster. */
async function dropIndex(collection: Collection<Document>, name: string): Promise<void> {
  const which = { name, collection: collection.collectionName };
  try {
    await collection.dropIndex(name);
    log.info("The index {name} of {collection} is not needed any more and was dropped", which);
  } catch (cause) {
    if (!(cause instanceof MongoError)) throw cause;
    log.warn("The index {name} of {collection} is not needed any more and was not dropped", { ...which, cause });
  }
}

async function existingIndexes(collection: Collection<Document>): Promise<Set<string>> {
  try {
    return new Set((await collection.listIndexes().toArray()).map(({ name }) => String(name)));
  } catch (error) {
    if (error instanceof MongoError && error.code === NAMESPACE_NOT_FOUND) return new Set();
    throw error;
  }
}
