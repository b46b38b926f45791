/**
 * Composes the storage of a profile, for the main thread and for the thread of gRPC. The distributed profile and its
 * clients are loaded only when they are configured.
 */
import type { Config } from "./config.ts";
import type { ThreadPorts } from "./grpc_thread.ts";
import type { HubApi } from "./hub.ts";
import type { EventStore } from "./storage.ts";
import { MemoryStore } from "./storage/memory.ts";
import { connectSqlite, SqliteDatabase, type SqlitePorts } from "./storage/sqlite.ts";
import type { EventStream } from "./stream.ts";
import { LogStream } from "./stream/log.ts";
import { MemoryStream } from "./stream/memory.ts";
import type { SupervisedWorker, WorkerHealth } from "./worker.ts";

/** What a hub stands on. */
export interface Backing {
  readonly store: EventStore;
  readonly stream: EventStream;
}

/** What the app needs of the profile it was configured with. */
export interface Storage extends Backing {
  /** Gives another thread what it reaches the same store by; `null` where none can. */
  readonly connect: (() => ThreadPorts<SqlitePorts | null>) | null;
  /** What role `rollup` runs beside the pass of the minute. */
  readonly workers: (hub: Pick<HubApi, "publishBatch">) => readonly SupervisedWorker[];
  /** How the pass of the minute counts; `null` = as the store does it. */
  readonly settle: (() => Promise<number>) | null;
  /** Health of what is not the store; nothing of it keeps the hub from taking events. */
  readonly besides: () => Promise<Readonly<Record<string, WorkerHealth>>>;
}

const NOTHING = { workers: () => [], settle: null, besides: () => Promise.resolve({}) };

/** Opens the storage of the main thread. */
export async function openStorage(config: Config, opening: AsyncDisposableStack): Promise<Storage> {
  switch (config.store.kind) {
    case "memory": {
      const store = opening.use(new MemoryStore());
      return { ...NOTHING, store, stream: opening.use(new MemoryStream(store)), connect: null };
    }
    case "sqlite": {
      const database = opening.use(await SqliteDatabase.open({ path: config.store.path }));
      const { store, stream } = await openEmbedded(config, database.ports().ports, opening);
      return { ...NOTHING, store, stream, connect: () => database.ports() };
    }
    case "mongodb": {
      const { openDistributed } = await import("./app_distributed.ts");
      return { ...await openDistributed(config, opening), connect: () => ({ ports: null, transfer: [] }) };
    }
  }
}

/** Opens the storage of another thread by what {@link Storage.connect} gave. */
export async function openThreadStorage(
  config: Config,
  ports: SqlitePorts | null,
  opening: AsyncDisposableStack,
): Promise<Backing> {
  if (ports !== null) return await openEmbedded(config, ports, opening);
  const { openDistributed } = await import("./app_distributed.ts");
  return await openDistributed(config, opening);
}

async function openEmbedded(config: Config, ports: SqlitePorts, opening: AsyncDisposableStack): Promise<Backing> {
  const { store, log } = await connectSqlite(ports, { questionMs: config.requestTimeoutMs });
  const stream = opening.use(new LogStream(log));
  opening.use(store);
  return { store, stream };
}
