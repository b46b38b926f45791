/** Dead letters in MongoDB, beside the events: one document each. */
import { type Filter, ObjectId } from "mongodb";
import type { DeadLetter, DeadLetterPage, DeadLetters } from "../dead_letters.ts";
import { type ErrorCode, type FieldError, HubError } from "../errors.ts";
import { DEAD_LETTERS_MAX, MONGODB_READ_MS } from "../limits.ts";
import { Arrivals } from "./mongodb_arrivals.ts";
import type { Collections, DeadLetterDocument, MongoConnection } from "./mongodb_connection.ts";
import { eventKey } from "./mongodb_documents.ts";
import { isDuplicateKey, writeErrorsOf } from "./mongodb_errors.ts";

const PLACE = /^[0-9a-f]{24}$/;

/** The letters of all tenants in a database. The connection is the store's, and stays open. */
export class MongodbDeadLetters implements DeadLetters {
  readonly #connection: MongoConnection;
  readonly #lettersMax: number;
  readonly #arrivals = new Arrivals();
  #closed = false;

  /** `lettersMax`: how many of a tenant are kept. */
  constructor(connection: MongoConnection, options: { lettersMax?: number } = {}) {
    this.#connection = connection;
    this.#lettersMax = options.lettersMax ?? DEAD_LETTERS_MAX;
  }

  add(letters: readonly DeadLetter[]): Promise<number> {
    return this.#run(async ({ deadLetters }) => {
      if (letters.length === 0) return 0;
      const now = this.#connection.now();
      const documents = letters.map((letter) => toDocument(letter, this.#arrivals.next(now)));
      try {
        await deadLetters.insertMany(documents, { ordered: false });
      } catch (error) {
        // Those that are there already stay as they are.
        const failed = writeErrorsOf(error);
        if (failed === null || !failed.every(isDuplicateKey)) throw error;
      }
      let dropped = 0;
      for (const tenant of new Set(letters.map((letter) => letter.tenant))) {
        dropped += await dropOldest(deadLetters, { tenant, lettersMax: this.#lettersMax });
      }
      return dropped;
    });
  }

  list(tenant: string, { limit, after }: { limit: number; after?: string }): Promise<DeadLetterPage> {
    return this.#read(async ({ deadLetters }) => {
      if (after !== undefined && !PLACE.test(after)) {
        throw new HubError("invalid_cursor", "The cursor belongs to another kind of store");
      }
      const filter: Filter<DeadLetterDocument> = {
        tenant,
        ...(after !== undefined && { arrival: { $lt: new ObjectId(after) } }),
      };
      const found = await deadLetters.find(filter).sort({ arrival: -1 }).limit(limit + 1)
        .maxTimeMS(MONGODB_READ_MS).toArray();
      const page = found.slice(0, limit);
      return {
        letters: page.map(fromDocument),
        next: found.length > limit ? page.at(-1)!.arrival.toHexString() : null,
      };
    });
  }

  get(tenant: string, id: string): Promise<DeadLetter | null> {
    return this.#read(async ({ deadLetters }) => {
      const found = await deadLetters.findOne({ _id: eventKey(tenant, id) }, { maxTimeMS: MONGODB_READ_MS });
      return found === null ? null : fromDocument(found);
    });
  }

  delete(tenant: string, id: string): Promise<boolean> {
    return this.#run(async ({ deadLetters }) =>
      (await deadLetters.deleteOne({ _id: eventKey(tenant, id) })).deletedCount > 0
    );
  }

  erase(tenant: string, userId: string): Promise<number> {
    return this.#run(async ({ deadLetters }) =>
      (await deadLetters.deleteMany({ tenant, user_id: userId })).deletedCount
    );
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    return Promise.resolve();
  }

  /** For questions of clients. */
  #read<T>(work: (collections: Collections) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new HubError("unavailable", "The dead letters are closed"));
    return this.#connection.read(work);
  }

  #run<T>(work: (collections: Collections) => Promise<T>): Promise<T> {
    if (this.#closed) return Promise.reject(new HubError("unavailable", "The dead letters are closed"));
    return this.#connection.run(work);
  }
}

/** Deletes what a tenant has too much, oldest first; answers how many. Several processes may do it at once. */
async function dropOldest(
  letters: Collections["deadLetters"],
  { tenant, lettersMax }: { tenant: string; lettersMax: number },
): Promise<number> {
  const excess = await letters.countDocuments({ tenant }) - lettersMax;
  if (excess <= 0) return 0;
  const oldest = await letters.find({ tenant }, { projection: { _id: 1 } }).sort({ arrival: 1 }).limit(excess)
    .toArray();
  return (await letters.deleteMany({ _id: { $in: oldest.map(({ _id }) => _id) } })).deletedCount;
}

function toDocument(letter: DeadLetter, arrival: ObjectId): DeadLetterDocument {
  return {
    _id: eventKey(letter.tenant, letter.id),
    tenant: letter.tenant,
    arrival,
    failed_at: new Date(letter.failedAt),
    code: letter.code,
    detail: letter.detail,
    errors: JSON.stringify(letter.errors),
    payload: letter.payload,
    user_id: letter.userId,
  };
}

function fromDocument(document: DeadLetterDocument): DeadLetter {
  const { _id: key, tenant } = document;
  return {
    id: key.slice(tenant.length + 1),
    tenant,
    failedAt: document.failed_at.getTime(),
    code: document.code as ErrorCode,
    detail: document.detail,
    errors: JSON.parse(document.errors) as readonly FieldError[],
    payload: document.payload,
    userId: document.user_id,
  };
}
