/**
 * The embedded store: one SQLite file, with a Worker that writes, one that answers questions and one that checkpoints.
 * The main thread opens it; every thread that serves clients connects to it over ports of its own.
 */
import { basename, dirname, join } from "node:path";
import { getLogger } from "@logtape/logtape";
import {
  SQLITE_BUSY_TIMEOUT_MS,
  SQLITE_QUESTION_MS,
  SQLITE_TAIL_CACHE_KIBIBYTES,
  SQLITE_TROUBLE_MS,
} from "../limits.ts";
import { openForWriting } from "./sqlite_connection.ts";
import { FileLock } from "./sqlite_lock.ts";
import { SqliteLog } from "./sqlite_log.ts";
import type { ClientControl, WorkerOptions } from "./sqlite_messages.ts";
import { migrate } from "./sqlite_schema.ts";
import { SqliteStore } from "./sqlite_store.ts";
import { Thread, type ThreadEvents } from "./sqlite_thread.ts";

const log = getLogger(["eventhub", "sqlite"]);

/** How to open the file. */
export interface SqliteOptions {
  /** Made when it is missing, and its folder too. */
  readonly path: string;
  /** How long a transaction waits for a lock that another program holds, milliseconds; default 5,000. */
  readonly busyTimeoutMs?: number;
  /** How long a failed transaction counts as trouble when none succeeds; missing = `SQLITE_TROUBLE_MS`. */
  readonly troubleMs?: number;
  /** The most pages of 4 KiB the file may have: what a full disk is like, for tests. */
  readonly pagesMax?: number;
  /** Rows that are indexed together; small numbers are for tests. */
  readonly indexStepRows?: number;
  /** Cells a question about windows may read; small numbers are for tests. */
  readonly aggregateCellsMax?: number;
}

/** What a thread needs to connect: plain data and one port, to be transferred with a message. */
export interface SqlitePorts {
  readonly path: string;
  readonly control: MessagePort;
}

/** The open file, on the main thread. Disposing it stores what was asked, empties the log and lets go of the lock. */
export class SqliteDatabase implements AsyncDisposable {
  readonly #path: string;
  readonly #lock: FileLock;
  readonly #writer: Thread;
  readonly #reader: Thread;
  readonly #checkpointer: Thread;
  readonly #clients = new Set<MessagePort>();
  #closed: Promise<void> | null = null;

  private constructor(path: string, lock: FileLock, options: SqliteOptions) {
    this.#path = path;
    this.#lock = lock;
    const { busyTimeoutMs = SQLITE_BUSY_TIMEOUT_MS, troubleMs = SQLITE_TROUBLE_MS } = options;
    const start: WorkerOptions = { ...options, path, busyTimeoutMs, troubleMs };
    const thread = (name: "writer" | "reader" | "checkpointer", entry: URL) =>
      new Thread(entry, { name, options: start, events: this.#eventsOf(name) });
    this.#writer = thread("writer", new URL("./sqlite_writer.ts", import.meta.url));
    this.#reader = thread("reader", new URL("./sqlite_reader.ts", import.meta.url));
    this.#checkpointer = thread("checkpointer", new URL("./sqlite_checkpointer.ts", import.meta.url));
  }

  /**
   * Opens the file, locks it and starts the Workers. Rejects with an `Error` for a person: another hub has it open, it
   * is of a newer version or no database, or it cannot be written.
   */
  static async open(options: SqliteOptions): Promise<SqliteDatabase> {
    const path = prepare(options.path);
    const lock = explained(options.path, () => FileLock.take(path));
    try {
      explained(options.path, () => {
        const connection = openForWriting(path, { cacheKibibytes: SQLITE_TAIL_CACHE_KIBIBYTES });
        try {
          migrate(connection, { path: options.path });
        } finally {
          connection.close();
        }
      });
      const database = new SqliteDatabase(path, lock, options);
      await database.#start();
      return database;
    } catch (error) {
      lock[Symbol.dispose]();
      throw explanationOf(options.path, error);
    }
  }

  /** Ports for one more thread, and what of them must be transferred. */
  ports(): { ports: SqlitePorts; transfer: Transferable[] } {
    const { port1, port2 } = new MessageChannel();
    this.#clients.add(port1);
    port1.onmessage = () => {
      this.#clients.delete(port1);
      port1.close();
    };
    this.#hand(port1, "writer");
    this.#hand(port1, "reader");
    return { ports: { path: this.#path, control: port2 }, transfer: [port2] };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #start(): Promise<void> {
    try {
      await this.#writer.start();
      await Promise.all([this.#reader.start(), this.#checkpointer.start()]);
    } catch (error) {
      await this.#stop();
      throw error;
    }
  }

  async #close(): Promise<void> {
    await this.#stop();
    for (const client of this.#clients) client.close();
    this.#lock[Symbol.dispose]();
  }

  /** The writer last: with nobody else there it can empty the log. */
  async #stop(): Promise<void> {
    await Promise.all([this.#reader.close(), this.#checkpointer.close()]);
    await this.#writer.close();
  }

  #eventsOf(name: "writer" | "reader" | "checkpointer"): ThreadEvents {
    const tell = (hand: (client: MessagePort) => void) => {
      if (name !== "checkpointer") { for (const client of this.#clients) hand(client); }
    };
    return {
      up: () => tell((client) => this.#hand(client, name as "writer" | "reader")),
      down: (reason) => {
        log.error("The {name} of the store died and is started again: {reason}", { name, reason });
        tell((client) => client.postMessage({ kind: name as "writer" | "reader", port: null } satisfies ClientControl));
      },
      log: (level, text) => log[level]("The {name} of the store: {text}", { name, text }),
    };
  }

  #hand(client: MessagePort, kind: "writer" | "reader"): void {
    const port = (kind === "writer" ? this.#writer : this.#reader).attach();
    client.postMessage({ kind, port } satisfies ClientControl, [port]);
  }
}

/** The store and its log as one thread uses them. Disposing them leaves the database open. */
export interface SqliteConnection {
  readonly store: SqliteStore;
  readonly log: SqliteLog;
}

/** Connects the calling thread to the database. `questionMs`: how long a question may take, milliseconds. */
export async function connectSqlite(
  { path, control }: SqlitePorts,
  { questionMs = SQLITE_QUESTION_MS }: { questionMs?: number } = {},
): Promise<SqliteConnection> {
  const store = new SqliteStore(control, { questionMs });
  await store.attached;
  return { store, log: new SqliteLog(path, store) };
}

/** Makes the folder and gives the one name of the file, so that two names of it have one lock. */
function prepare(path: string): string {
  return explained(path, () => {
    const folder = dirname(path);
    Deno.mkdirSync(folder, { recursive: true });
    const file = join(folder, basename(path));
    const found = infoOf(file);
    if (found?.isDirectory) throw new Error("Is a directory");
    return found === null ? file : Deno.realPathSync(file);
  });
}

function infoOf(path: string): Deno.FileInfo | null {
  try {
    return Deno.statSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** What SQLite and the system say, and what it means. */
const EXPLANATIONS: readonly [RegExp, string][] = [
  [/not a database/, "it is not a SQLite file"],
  [/File exists|Not a directory|os error 20\b/, "its folder is a file"],
  [/Is a directory/, "it is a folder"],
  [/No such file or directory/, "no file can be made there"],
  [/malformed/, "the file is damaged; restore a backup"],
  [/readonly database|read-only|Read-only/, "the file or its folder is read-only"],
  [/unable to open database file/, "the file cannot be opened or made; look at its folder and permissions"],
  [/disk is full|No space left/, "the disk is full"],
  [/disk I\/O error/, "the disk fails"],
  [/database is locked/, "another program has it locked"],
  [/Permission denied|os error 13|Requires (read|write) access/, "this process may not write there"],
];

function explained<T>(path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw explanationOf(path, cause);
  }
}

/** The error with the path and, where it is known, what to do. */
function explanationOf(path: string, cause: unknown): unknown {
  if (!(cause instanceof Error) || cause.message.startsWith("Cannot open")) return cause;
  const explanation = EXPLANATIONS.find(([pattern]) => pattern.test(cause.message))?.[1];
  return new Error(`Cannot open ${path}: ${explanation ?? cause.message}`, { cause });
}
