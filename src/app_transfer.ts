/** Opens stores to be moved, for the command line: a composition root of its own, as no hub runs there. */
import type { Config } from "./config.ts";
import { readStore } from "./config_values.ts";
import { SqliteTransfer } from "./storage/sqlite_transfer.ts";
import { connectSqlite, SqliteDatabase } from "./storage/sqlite.ts";
import type { OpenTransfer, PrototypeSource } from "./transfer.ts";

/** How a store is opened. */
export interface OpenOptions {
  /** Whether a file that is not there, or a database without a store, is an error and not a new store. */
  readonly mustExist: boolean;
}

/**
 * Opens the store of a URL as `EVENTHUB_STORE_URL` has it. Rejects with an `Error` for a person: the URL is none, a hub has
 * the file open, the server cannot be reached.
 */
export async function openTransfer(url: string, options: OpenOptions): Promise<OpenTransfer> {
  const store = readStore(url);
  switch (store.kind) {
    case "memory":
      throw new Error("memory: cannot be moved: it is in the process of its hub, and ends with it");
    case "sqlite":
      return await openSqlite(store, options);
    case "mongodb":
      return await openMongodb(store, options);
  }
}

/** Opens the prototype's database. Rejects with an `Error` for a person. */
export async function openPrototype(url: string): Promise<PrototypeSource> {
  const { MongodbPrototype } = await import("./storage/mongodb_prototype.ts");
  return await MongodbPrototype.open(url);
}

async function openSqlite(
  { path }: Extract<Config["store"], { kind: "sqlite" }>,
  { mustExist }: OpenOptions,
): Promise<OpenTransfer> {
  if (mustExist && !await exists(path)) throw new Error(`Cannot open ${path}: there is no such file`);
  await using opening = new AsyncDisposableStack();
  const database = opening.use(await SqliteDatabase.open({ path }));
  const { ports } = database.ports();
  const { store, log } = await connectSqlite(ports);
  opening.use(log);
  opening.use(store);
  const transfer = opening.use(new SqliteTransfer(ports.path, store));
  const opened = opening.move();
  return { store, transfer, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

async function openMongodb(
  { url }: Extract<Config["store"], { kind: "mongodb" }>,
  { mustExist }: OpenOptions,
): Promise<OpenTransfer> {
  const { MongodbStore } = await import("./storage/mongodb.ts");
  await using opening = new AsyncDisposableStack();
  const store = opening.use(await MongodbStore.open({ url, mustExist }));
  const transfer = opening.use(store.transfer);
  const opened = opening.move();
  return { store, transfer, [Symbol.asyncDispose]: () => opened.disposeAsync() };
}

async function exists(path: string): Promise<boolean> {
  try {
    return (await Deno.stat(path)).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
