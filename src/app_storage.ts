/**
 * Composes the storage of a profile, for the main thread and for the thread of gRPC. The distributed profile and its
 * clients are loaded only when they are configured.
 */
import type { Config } from "./config.ts";
import type { DeadLetters } from "./dead_letters.ts";
import type { ThreadPorts } from "./grpc_thread.ts";
import type { HubApi } from "./hub.ts";
import type { EventStore } from "./storage.ts";
import { MemoryStore } from "./storage/memory.ts";
import { MemoryDeadLetters } from "./storage/memory_dead_letters.ts";
import { connectSqlite, SqliteDatabase, type SqlitePorts } from "./storage/sqlite.ts";
import type { EventStream } from "./stream.ts";
import { LogStream } from "./stream/log.ts";
import { MemoryStream } from "./stream/memory.ts";
import type { StreamMeasures } from "./telemetry_stream.ts";
import type { SupervisedWorker, WorkerHealth } from "./worker.ts";

/** What a hub stands on. */
export interface Backing {
  readonly store: EventStore;
  readonly stream: EventStream;
}

/** What the workers of a profile put events into, and what they cannot take. */
export interface WorkerPorts {
  readonly hub: Pick<HubApi, "publishBatch">;
  readonly deadLetters: Pick<DeadLetters, "add">;
}

/** What the app needs of the profile it was configured with. */
export interface Storage extends Backing {
  readonly deadLetters: DeadLetters;
  /** Gives another thread what it reaches the same store by; `null` where none can. */
  readonly connect: (() => ThreadPorts<SqlitePorts | null>) | null;
  /** What role `rollup` runs beside the pass of the minute. */
  readonly workers: (ports: WorkerPorts) => readonly SupervisedWorker[];
  /** How the pass of the minute counts; `null` = as the store does it. */
  readonly settle: (() => Promise<number>) | null;
  /** Health of what is not the store; nothing of it keeps the hub from taking events. */
  readonly besides: () => Promise<Readonly<Record<string, WorkerHealth>>>;
  /** What a scrape is told of the stream; `null` where it is the store's own log. Never rejects. */
  readonly measure: (() => Promise<StreamMeasures>) | null;
}

const NOTHING = { workers: () => [], settle: null, besides: () => Promise.resolve({}), measure: null };

/** Opens the storage of the main thread. */
export async function openStorage(config: Config, opening: AsyncDisposableStack): Promise<Storage> {
  // Nothing comes in by a stream on one process, so there is never a dead letter to be kept.
  const none = () => ({ ...NOTHING, deadLetters: opening.use(new MemoryDeadLetters()) });
  switch (config.store.kind) {
    case "memory": {
      const store = opening.use(new MemoryStore());
      return { ...none(), store, stream: opening.use(new MemoryStream(store)), connect: null };
    }
    case "sqlite": {
      const database = opening.use(await SqliteDatabase.open({ path: config.store.path }));
      const { store, stream } = await openEmbedded(config, database.ports().ports, opening);
      return { ...none(), store, stream, connect: () => database.ports() };
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
