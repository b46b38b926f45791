/** Reads the documents that the Python prototype stored: an ObjectId, doubles, no tenant. Nothing is written. */
import {
  type Db,
  Decimal128,
  type Document,
  Double,
  type Filter,
  Long,
  type MongoClient,
  MongoError,
  ObjectId,
} from "mongodb";
import { HubError } from "../errors.ts";
import { MONGODB_REPLY_DOCUMENTS } from "../limits.ts";
import type { PrototypeDocument, PrototypeSource } from "../transfer.ts";
import { connectPatiently, createClient, databaseOf } from "./mongodb_client.ts";
import { DatabaseProblem, explain, redact } from "./mongodb_errors.ts";

const COLLECTION = "events";
const FIRST_ID = new ObjectId("0".repeat(24));
/** Without the zone: the prototype wrote the time of its machine as if it were UTC, and who reads it knows better. */
const ZONE_CHARACTERS = "Z".length;

/** The prototype's collection in a database, perhaps the one that Event Hub uses now. */
export class MongodbPrototype implements PrototypeSource {
  readonly #client: MongoClient;
  readonly #database: Db;
  readonly #url: string;

  private constructor(client: MongoClient, { database, url }: { database: Db; url: string }) {
    this.#client = client;
    this.#database = database;
    this.#url = url;
  }

  /** Connects. Rejects with an error for a person that never holds the password. */
  static async open(url: string): Promise<MongodbPrototype> {
    let client: MongoClient | null = null;
    try {
      client = createClient(url);
      await client.connect();
      const database = databaseOf(client, url);
      await database.command({ ping: 1 });
      return new MongodbPrototype(client, { database, url });
    } catch (cause) {
      await client?.close();
      throw new Error(`Cannot read ${redact(url)}: ${explain(cause, url)}`, { cause });
    }
  }

  async count(): Promise<{ documents: number; others: number }> {
    return await answered(async () => {
      // Of many documents it takes longer than an answer may take.
      await using database = await connectPatiently(this.#url);
      const events = database.collection<Document>(COLLECTION);
      const documents = await events.countDocuments(behind(FIRST_ID));
      return { documents, others: await events.countDocuments({ tenant: null }) - documents };
    });
  }

  async read({ after, limit }: { after: string | null; limit: number }): Promise<readonly PrototypeDocument[]> {
    const found = await answered(() =>
      this.#database.collection<Document>(COLLECTION)
        .find(behind(after === null ? FIRST_ID : new ObjectId(after)))
        .sort({ _id: 1 }).limit(limit).batchSize(MONGODB_REPLY_DOCUMENTS).toArray()
    );
    return found.map(({ _id, ...members }) => ({
      id: (_id as ObjectId).toHexString(),
      receivedAt: (_id as ObjectId).getTimestamp().getTime(),
      members: Object.fromEntries(Object.entries(members).map(([name, value]) => [name, plain(value)])),
    }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#client.close();
  }
}

/** Rejects as the store does, with `unavailable`, when the database does not answer. */
async function answered<T>(ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof MongoError)) throw error;
    throw new HubError("unavailable", "The prototype's database does not answer", {
      cause: new DatabaseProblem(error),
    });
  }
}

/** A comparison with an ObjectId finds ObjectIds alone. */
function behind(id: ObjectId): Filter<Document> {
  return { _id: { $gt: id, $lte: new ObjectId("f".repeat(24)) }, tenant: null } as Filter<Document>;
}

/** A value as JSON would have it. Doubles stay numbers, so that their shortest text is what counts. */
function plain(value: unknown): unknown {
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? String(value) : value.toISOString().slice(0, -ZONE_CHARACTERS);
  }
  if (value instanceof Double) return value.value;
  if (typeof value === "bigint" || value instanceof Long || value instanceof Decimal128) return String(value);
  return value;
}
