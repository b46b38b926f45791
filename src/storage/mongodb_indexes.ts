/** The indexes of the database: no more than the questions ask for, since each one costs every insert. */
import { getLogger } from "@logtape/logtape";
import {
  type Collection,
  type CreateIndexesOptions,
  type Db,
  type Document,
  type IndexDescription,
  MongoError,
} from "mongodb";
import type { EventDocument } from "./mongodb_documents.ts";
import { loggable } from "./mongodb_errors.ts";

const log = getLogger(["eventhub", "mongodb"]);

/** A collection has at most 64: they fit one answer. */
const INDEXES_MAX = 100;

/** An index and the questions it answers. */
interface Index {
  /** Name in the database. */
  readonly collection: string;
  readonly keys: Readonly<Record<string, 1 | -1>>;
  readonly options?: Pick<CreateIndexesOptions, "name" | "partialFilterExpression">;
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
  { collection: "dead_letters", keys: { tenant: 1, arrival: 1 } },
  // Erasure.
  { collection: "dead_letters", keys: { tenant: 1, user_id: 1 } },
];

/** Indexes of earlier versions, by name: they would cost every insert for nothing. */
const OBSOLETE: readonly Pick<Index & { readonly name: string }, "collection" | "name">[] = [
  { collection: "events", name: "pub_1__id_1" },
];

const NAMESPACE_NOT_FOUND = 26;

/** What events have: an index on anything else that leaves out documents without it leaves out all events. */
const EVENT_FIELDS: ReadonlySet<string> = new Set<keyof EventDocument>([
  "_id",
  "tenant",
  "user_id",
  "event_type",
  "amount",
  "timestamp",
  "timestamp_given",
  "received_at",
  "source",
  "properties",
  "slice",
  "pub",
  "arrival",
  "pend",
  "unpub",
  "erased",
]);

/** What the server tells of an index. */
interface ExistingIndex {
  readonly name: string;
  /** A build of it is under way. */
  readonly isBuilding: boolean;
  readonly spec: Document;
}

/**
 * Creates what is missing, and only that: creating takes rights that reading and writing do not. Then drops what earlier
 * versions had in its place. Building on a large collection may take hours: `connect` gives a connection of its own that
 * waits for as long.
 */
export async function createIndexes(database: Db, connect: () => Promise<Db & AsyncDisposable>): Promise<void> {
  const existing = new Map<string, readonly ExistingIndex[]>();
  for (const collection of new Set(INDEXES.map(({ collection }) => collection))) {
    existing.set(collection, await existingIndexes(database, collection));
  }
  refuseForeign(existing.get("events") ?? []);
  const missing = missingIndexes(existing);
  if (missing.size > 0) await build(missing, connect);
  for (const { collection, name } of OBSOLETE) {
    if (existing.get(collection)?.some((found) => found.name === name)) {
      await dropIndex(database.collection(collection), name);
    }
  }
}

/** Rejects with an error for a person unless a store was opened there before. The prototype has `events`, too. */
export async function requireStore(database: Db): Promise<void> {
  for (const collection of new Set(INDEXES.map(({ collection }) => collection))) {
    if (collection !== "events" && (await existingIndexes(database, collection)).length > 0) return;
  }
  throw new Error(`the database ${database.databaseName} holds no store of Event Hub; is its name right?`);
}

async function build(
  missing: ReadonlyMap<string, NamedIndex[]>,
  connect: () => Promise<Db & AsyncDisposable>,
): Promise<void> {
  await using patient = await connect();
  for (const [collection, indexes] of missing) {
    const names = indexes.map(({ name }) => name).join(", ");
    log.info("Building the indexes {names} of {collection}; on a large collection this takes long", {
      names,
      collection,
    });
    // One command for all of a collection: each one reads all documents. Of one that is being built it awaits the end.
    await patient.collection(collection).createIndexes(indexes);
  }
}

/** A hub works with an index too many, and another process may have been faster. */
async function dropIndex(collection: Collection, name: string): Promise<void> {
  const which = { name, collection: collection.collectionName };
  try {
    await collection.dropIndex(name);
    log.info("The index {name} of {collection} is not needed any more and was dropped", which);
  } catch (cause) {
    if (!(cause instanceof MongoError)) throw cause;
    log.warn("The index {name} of {collection} is not needed any more and was not dropped", {
      ...which,
      cause: loggable(cause),
    });
  }
}

type NamedIndex = IndexDescription & { readonly name: string };

/** By the name of their collection; those too that are not ready yet. */
function missingIndexes(existing: ReadonlyMap<string, readonly ExistingIndex[]>): Map<string, NamedIndex[]> {
  const missing = new Map<string, NamedIndex[]>();
  for (const [collection, indexes] of Map.groupBy(INDEXES, ({ collection }) => collection)) {
    const ready = new Set(existing.get(collection)?.filter(({ isBuilding }) => !isBuilding).map(({ name }) => name));
    const absent = indexes.map(({ keys, options = {} }) => ({
      key: keys,
      name: Object.entries(keys).flat().join("_"),
      ...options,
    })).filter(({ name }) => !ready.has(name));
    if (absent.length > 0) missing.set(collection, absent);
  }
  return missing;
}

/**
 * A unique index of another program would refuse events that are none of its business, each of them with an answer that
 * does not say so. One that holds chosen documents alone is none of ours as long as they are not ours.
 */
function refuseForeign(existing: readonly ExistingIndex[]): void {
  const foreign = existing.filter(({ spec }) =>
    spec.unique === true && !("_id" in (spec.key ?? {})) && spec.partialFilterExpression === undefined &&
    !(spec.sparse === true && Object.keys(spec.key ?? {}).every((field) => !EVENT_FIELDS.has(field.split(".")[0]!)))
  );
  if (foreign.length === 0) return;
  const names = foreign.map(({ name }) => name).join(", ");
  throw new Error(
    `the collection events has a unique index of another program, ${names}, that would refuse events: drop it ` +
      `(db.events.dropIndex("${foreign[0]!.name}")) or use another database`,
  );
}

/** The driver has no option for telling those that are being built from those that are ready. */
async function existingIndexes(database: Db, collection: string): Promise<ExistingIndex[]> {
  const command = { listIndexes: collection, includeBuildUUIDs: true, cursor: { batchSize: INDEXES_MAX } };
  try {
    const { cursor } = await database.command(command);
    return (cursor.firstBatch as Document[]).map((found) => {
      const spec = found.buildUUID === undefined ? found : found.spec;
      return { name: String(spec.name), isBuilding: found.buildUUID !== undefined, spec };
    });
  } catch (error) {
    if (error instanceof MongoError && error.code === NAMESPACE_NOT_FOUND) return [];
    throw error;
  }
}
