/** The MongoDB store as the suites want it, on a database of its own. */
import { type Db, MongoClient } from "mongodb";
import { MongodbStore } from "../../src/storage/mongodb.ts";
import { MongoConnection } from "../../src/storage/mongodb_connection.ts";
import { MongodbDeadLetters } from "../../src/storage/mongodb_dead_letters.ts";
import { hourKey, minuteKey } from "../../src/storage/mongodb_documents.ts";
import { mongoUrl, newDatabaseName } from "../services/mongo.ts";
import type { CellKey, StoreHarness } from "./conformance.ts";

/** A store, and a way around it. */
export interface MongodbHarness extends StoreHarness {
  readonly store: MongodbStore;
  /** The same database, for looking behind the store's back. */
  readonly database: Db;
  readonly url: string;
  /** Another process's view of it. */
  another(options?: { isPublished?: boolean }): Promise<MongodbStore>;
}

/** An empty MongoDB store. Without `isPublished` no stream stands beside it. */
export async function openMongodb({ isPublished = false } = {}): Promise<MongodbHarness> {
  const url = mongoUrl(newDatabaseName());
  const opened: MongodbStore[] = [];
  const open = async (options = { isPublished }) => {
    const store = await MongodbStore.open({ url, isPublished: options.isPublished });
    opened.push(store);
    return store;
  };
  let store = await open();
  const client = new MongoClient(url);
  const database = client.db();
  return {
    get store() {
      return store;
    },
    get transfer() {
      return store.transfer;
    },
    database,
    url,
    another: (options) => open({ isPublished, ...options }),
    settle: async () => void await store.settle(),
    corrupt: (cell) => corrupt(database, cell),
    reopen: async () => {
      await close(store);
      store = await open();
    },
    [Symbol.asyncDispose]: async () => {
      for (const one of opened) await close(one);
      await database.dropDatabase();
      await client.close();
    },
  };
}

/** A move ends before the store it is of; harmless twice. */
async function close(store: MongodbStore): Promise<void> {
  await store.transfer[Symbol.asyncDispose]();
  await store[Symbol.asyncDispose]();
}

/** Empty dead letters in a database of their own, at most `lettersMax` of a tenant. */
export async function openMongodbDeadLetters(
  lettersMax: number,
): Promise<{ readonly letters: MongodbDeadLetters } & AsyncDisposable> {
  const url = mongoUrl(newDatabaseName());
  const connection = await MongoConnection.open(url, { clock: Date.now });
  const letters = new MongodbDeadLetters(connection, { lettersMax });
  return {
    letters,
    [Symbol.asyncDispose]: async () => {
      await letters[Symbol.asyncDispose]();
      await connection[Symbol.asyncDispose]();
      const client = new MongoClient(url);
      await client.db().dropDatabase();
      await client.close();
    },
  };
}

async function corrupt(database: Db, { tenant, span, start, eventType }: CellKey): Promise<void> {
  const rollups = database.collection<{ _id: string; count: number; cells: { type: string; count: number }[] }>(
    "rollups",
  );
  const key = span === "hour" ? hourKey(tenant, start) : minuteKey(tenant, start);
  const found = await rollups.findOne({ _id: key });
  const cell = found?.cells.find(({ type }) => type === eventType);
  if (!found || !cell) throw new Error(`Cannot corrupt a cell that is not there: ${eventType} at ${start}`);
  cell.count++;
  await rollups.updateOne({ _id: key }, { $set: { cells: found.cells, count: found.count + 1 } });
}
