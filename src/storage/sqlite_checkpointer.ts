/**
 * The Worker that moves the log of the database into the database, beside the writer: a commit then never waits for it
 * (the longest commit is 5 ms instead of 160).
 */
import type { DatabaseSync } from "node:sqlite";
import { SQLITE_CHECKPOINT_MS } from "../limits.ts";
import { openForWriting, Query } from "./sqlite_connection.ts";
import type { WorkerOptions } from "./sqlite_messages.ts";
import { messageOf, serve, type Service, Trouble } from "./sqlite_worker.ts";

const CACHE_KIBIBYTES = 256;

class Checkpointer implements Service {
  readonly #database: DatabaseSync;
  readonly #checkpoint: Query;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #trouble = new Trouble();

  constructor({ path }: WorkerOptions) {
    // It never waits: what it cannot do now it does the next time.
    this.#database = openForWriting(path, { cacheKibibytes: CACHE_KIBIBYTES, busyTimeoutMs: 0 });
    this.#checkpoint = new Query(this.#database, "pragma wal_checkpoint(passive)");
    this.#timer = setInterval(() => this.#run(), SQLITE_CHECKPOINT_MS);
  }

  attach(): void {}

  close(): void {
    clearInterval(this.#timer);
    this.#database.close();
  }

  #run(): void {
    try {
      this.#checkpoint.first();
      this.#trouble.end();
    } catch (error) {
      this.#trouble.tell("warning", `The log of the database cannot be moved: ${messageOf(error)}`);
    }
  }
}

serve((options) => new Checkpointer(options));
