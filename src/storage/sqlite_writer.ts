/**
 * The Worker that writes: the one write connection to the file. What waits at its ports when a turn begins is stored in
 * one transaction, up to `COMMIT_EVENTS_MAX` events; what arrives meanwhile goes into the next. Between commits it
 * indexes, and purges, erases and rebuilds in small steps.
 */
import type { DatabaseSync } from "node:sqlite";
import { HubError } from "../errors.ts";
import { COMMIT_EVENTS_MAX, SQLITE_CHECKPOINT_PAGES, SQLITE_WRITER_CACHE_KIBIBYTES, TICK_MS } from "../limits.ts";
import type { StoreHealth } from "../storage.ts";
import { Appender, type Slice, type StoredRows } from "./sqlite_append.ts";
import { ColumnReader } from "./sqlite_columns.ts";
import { openForWriting, Query, SYNCHRONOUS_FULL } from "./sqlite_connection.ts";
import { erase } from "./sqlite_erase.ts";
import { Indexer } from "./sqlite_index.ts";
import {
  type ChangedColumns,
  type FollowLevel,
  type Numbered,
  type Reply,
  STATUS,
  type Withdraw,
  type WorkerOptions,
  type WriterRequest,
} from "./sqlite_messages.ts";
import { Names } from "./sqlite_names.ts";
import { purge } from "./sqlite_purge.ts";
import { rebuild } from "./sqlite_rebuild.ts";
import { transfer } from "./sqlite_transfer_job.ts";
import {
  damaged,
  failure,
  isDamage,
  messageOf,
  nextMessage,
  report,
  serve,
  type Service,
  Trouble,
} from "./sqlite_worker.ts";

type Request = Numbered<WriterRequest> | Extract<WriterRequest, { kind: "follow" } | { kind: "leave" }> | Withdraw;

/** A thread that is served. */
interface Client {
  readonly port: MessagePort;
  level: FollowLevel;
}

/** An append that waits, or that was stored in part. */
interface PendingAppend {
  readonly client: Client;
  readonly call: number;
  readonly events: ColumnReader;
  readonly statuses: Uint8Array<ArrayBuffer>;
  done: number;
}

/** Work in small steps: each `next` is one of them. */
interface Job {
  readonly client: Client;
  readonly call: number;
  readonly steps: Iterator<void, unknown>;
}

/** What the steps of a job work on. */
export interface WriterParts {
  readonly database: DatabaseSync;
  readonly appender: Appender;
  readonly indexer: Indexer;
  /** Events that hold retention up. */
  readonly held: Trouble;
}

class Writer implements Service {
  readonly #database: DatabaseSync;
  readonly #appender: Appender;
  readonly #indexer: Indexer;
  readonly #names: Names;
  readonly #clients = new Set<Client>();
  readonly #appends: PendingAppend[] = [];
  readonly #jobs: Job[] = [];
  readonly #held = new Trouble();
  readonly #synchronous: Query;
  /** What the last commit stored; `null` before the first. */
  #announced: StoredRows | null = null;
  /** Why the last transaction failed; `null` when it did not. */
  #trouble: string | null = null;
  /** Set for good when the file turned out to be damaged. */
  #damage: StoreHealth | null = null;
  /** When it failed, milliseconds of `performance.now()`. */
  #troubledAt = 0;
  #running = false;
  #closed = false;
  readonly #troubleMs: number;
  readonly #idling = setInterval(() => this.#idle(), TICK_MS);
  /** Commits since the last tick. */
  #commits = 0;

  constructor(options: WorkerOptions) {
    const { path, busyTimeoutMs, pagesMax, indexStepRows } = options;
    this.#troubleMs = options.troubleMs;
    this.#database = openForWriting(path, { cacheKibibytes: SQLITE_WRITER_CACHE_KIBIBYTES, busyTimeoutMs });
    this.#database.exec(`pragma wal_autocheckpoint = ${SQLITE_CHECKPOINT_PAGES}`);
    if (pagesMax !== undefined) this.#database.exec(`pragma max_page_count = ${pagesMax}`);
    this.#appender = new Appender(this.#database);
    this.#indexer = new Indexer(this.#database, { stepRows: indexStepRows });
    this.#names = new Names(this.#database);
    this.#synchronous = new Query(this.#database, "pragma synchronous");
  }

  attach(port: MessagePort): void {
    const client: Client = { port, level: "nothing" };
    this.#clients.add(client);
    port.onmessage = ({ data }: MessageEvent<Request>) => {
      this.#hear(client, data);
      this.#wake();
    };
  }

  close(): void {
    clearInterval(this.#idling);
    this.#drain();
    while (this.#appends.length > 0) this.#commit();
    this.#closed = true;
    const closing = new HubError("unavailable", "The store is closing");
    for (const { client, call } of this.#jobs) this.#reply(client, failure(call, closing));
    this.#database.exec("pragma wal_checkpoint(truncate)");
    this.#database.close();
    for (const { port } of this.#clients) port.close();
  }

  #hear(client: Client, request: Request): void {
    switch (request.kind) {
      case "follow":
        return this.#follow(client, request);
      case "leave":
        this.#clients.delete(client);
        return client.port.close();
      case "withdraw":
        // Only signs of life are given up here, and they were given when they were heard of.
        return;
      case "append": {
        const events = new ColumnReader(request.columns);
        const statuses = new Uint8Array(events.count).fill(STATUS.unavailable);
        this.#appends.push({ client, call: request.call, events, statuses, done: 0 });
        return;
      }
      case "ping":
        return this.#reply(client, { kind: "done", call: request.call, value: this.#health() });
      default:
        this.#jobs.push({ client, call: request.call, steps: this.#steps(request) });
    }
  }

  /**
   * A commit that ran while the wish was under way was announced to nobody: the client is told of it now. It is one at
   * most, because the ports are drained before each.
   */
  #follow(client: Client, { level, seen }: Extract<WriterRequest, { kind: "follow" }>): void {
    client.level = level;
    const last = this.#announced?.seqs.at(-1);
    if (last === undefined || seen === null || last <= seen) return;
    const changed = level === "cells" ? this.#changedColumns(this.#announced!.minutes) : null;
    this.#reply(client, { kind: "committed", changed });
  }

  #steps(
    request: Extract<WriterRequest, { kind: "purge" | "erase" | "rebuild" | "transfer" }>,
  ): Iterator<void, unknown> {
    const parts = { database: this.#database, appender: this.#appender, indexer: this.#indexer, held: this.#held };
    if (request.kind === "purge") return purge(parts, request.border);
    if (request.kind === "erase") return erase(parts, request);
    if (request.kind === "transfer") return transfer(parts, request.task);
    return rebuild(parts, request);
  }

  /** Works until nothing waits; gives up the thread after each turn, so that other messages are heard. */
  #wake(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    this.#turn();
  }

  readonly #turn = (): void => {
    if (this.#closed) return;
    this.#drain();
    if (this.#appends.length > 0) this.#commit();
    else if (this.#indexer.isDue) this.#index();
    if (this.#jobs.length > 0) this.#work();
    this.#running = this.#appends.length > 0 || this.#jobs.length > 0 || this.#indexer.isDue;
    if (this.#running) setImmediate(this.#turn);
  };

  /** Takes what waits at the ports. */
  #drain(): void {
    for (const client of this.#clients) {
      for (;;) {
        const request = nextMessage<Request>(client.port);
        if (request === undefined) break;
        this.#hear(client, request);
      }
    }
  }

  /** Stores one group. */
  #commit(): void {
    const slices: Slice[] = [];
    const parts: { append: PendingAppend; to: number }[] = [];
    let room = COMMIT_EVENTS_MAX;
    const waiting = this.#appends.reduce((sum, { events, done }) => sum + events.count - done, 0);
    this.#indexer.resumeWhenBroken();
    while (this.#indexer.mustStepBefore(Math.min(waiting, room))) this.#index();
    for (const append of this.#appends) {
      const { events, statuses, done } = append;
      const to = Math.min(events.count, done + room);
      slices.push({ events, statuses, from: done, to });
      parts.push({ append, to });
      room -= to - done;
      if (room === 0) break;
    }
    try {
      this.#indexer.assertFollows();
      const stored = this.#appender.commit(slices);
      this.#trouble = null;
      this.#commits++;
      this.#indexer.add(stored);
      if (stored.seqs.length > 0) this.#announce(stored);
    } catch (error) {
      this.#fail("Events could not be stored", error);
    }
    for (const { append, to } of parts) {
      append.done = to;
      if (to < append.events.count) continue;
      this.#appends.shift();
      this.#answer(append);
    }
  }

  #answer({ client, call, statuses }: PendingAppend): void {
    const allStored = statuses.every((status) => status === STATUS.stored);
    if (allStored) this.#reply(client, { kind: "done", call, value: { statuses: null } });
    else this.#reply(client, { kind: "done", call, value: { statuses } });
  }

  /** Tells who wants to hear it that the log is longer. */
  #announce(stored: StoredRows): void {
    this.#announced = stored;
    let changed: ChangedColumns | null = null;
    for (const client of this.#clients) {
      if (client.level === "nothing") continue;
      if (client.level === "cells") changed ??= this.#changedColumns(stored.minutes);
      this.#reply(client, { kind: "committed", changed: client.level === "cells" ? changed : null });
    }
  }

  #changedColumns({ cells }: StoredRows["minutes"]): ChangedColumns {
    const places = new Map<number, number>();
    const kinds: [string, string][] = [];
    const columns = new Float64Array(cells.size * 2);
    let at = 0;
    for (const { tenant, type, start } of cells.values()) {
      let place = places.get(type);
      if (place === undefined) {
        places.set(type, place = kinds.length);
        kinds.push([this.#names.tenant(tenant), this.#names.type(type)]);
      }
      columns[at++] = place;
      columns[at++] = start;
    }
    return { kinds, cells: columns };
  }

  #index(): void {
    try {
      this.#indexer.step();
    } catch (error) {
      this.#fail("Events could not be indexed", error);
      this.#indexer.pause();
    }
  }

  /** With nobody storing, shortens what every query must scan. */
  #idle(): void {
    if (this.#commits === 0 && !this.#running && this.#indexer.isWorthwhile) this.#index();
    this.#commits = 0;
  }

  /** One step of the oldest job. */
  #work(): void {
    const { client, call, steps } = this.#jobs[0]!;
    try {
      const { done, value } = steps.next();
      if (!done) return;
      this.#reply(client, { kind: "done", call, value });
    } catch (error) {
      this.#fail("A purge, erasure, rebuild or move stopped", error);
      this.#reply(client, failure(call, error));
    }
    this.#jobs.shift();
  }

  #fail(what: string, error: unknown): void {
    const trouble = messageOf(error);
    // What succeeds between two blows to a damaged file does not make it news.
    const known = trouble === this.#trouble || (isDamage(error) && this.#damage !== null);
    if (isDamage(error)) this.#damage ??= damaged(error);
    if (!known) report("error", `${what}: ${error instanceof Error ? error.stack : trouble}`);
    this.#trouble = trouble;
    this.#troubledAt = performance.now();
  }

  /**
   * Says whether events can be stored. Some time after the last trouble it tries: the disk may have recovered with nobody
   * sending. Not at once, because what the trial writes may fit where a group does not.
   */
  #health(): StoreHealth {
    if (this.#damage !== null) return this.#damage;
    if (this.#synchronous.first()![0] !== SYNCHRONOUS_FULL) {
      return { ok: false, detail: "Commits are not synced to disk" };
    }
    if (this.#trouble !== null && performance.now() - this.#troubledAt >= this.#troubleMs) {
      try {
        this.#appender.probe();
        this.#trouble = null;
      } catch (error) {
        this.#trouble = messageOf(error);
      }
    }
    if (this.#trouble === null) return { ok: true, detail: `${this.#indexer.backlog} events are not indexed yet` };
    return { ok: false, detail: `The database cannot be written: ${this.#trouble}` };
  }

  #reply(client: Client, reply: Reply): void {
    client.port.postMessage(reply);
  }
}

serve((options) => new Writer(options));
