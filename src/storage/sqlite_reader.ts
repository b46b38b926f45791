/**
 * The Worker that answers questions: lists, aggregates, counts, verification. Each answer, and each step of a long
 * one, is one short read transaction: a long one would keep the log of the database from being emptied.
 */
import type { DatabaseSync } from "node:sqlite";
import { SQLITE_READER_CACHE_KIBIBYTES } from "../limits.ts";
import type { Event } from "../event.ts";
import type { EventRange, RecountReport } from "../storage.ts";
import { EVENT_COLUMNS, eventOf, isErased } from "./sqlite_columns.ts";
import { openForReading, Query, readTransaction } from "./sqlite_connection.ts";
import { Lister } from "./sqlite_list.ts";
import type { Leave, Numbered, ReaderRequest, Reply, WorkerOptions } from "./sqlite_messages.ts";
import { Metrics } from "./sqlite_metrics.ts";
import { Names } from "./sqlite_names.ts";
import { Recount } from "./sqlite_recount.ts";
import { RecountQueries } from "./sqlite_recount_queries.ts";
import { toRowColumns } from "./sqlite_rows.ts";
import { failure, serve, type Service } from "./sqlite_worker.ts";

type Request = Numbered<ReaderRequest> | Leave;

class Reader implements Service {
  readonly #database: DatabaseSync;
  readonly #names: Names;
  readonly #lister: Lister;
  readonly #metrics: Metrics;
  readonly #recounts: RecountQueries;
  readonly #byId: Query;
  readonly #ports = new Set<MessagePort>();
  #closed = false;

  constructor({ path }: WorkerOptions) {
    this.#database = openForReading(path, { cacheKibibytes: SQLITE_READER_CACHE_KIBIBYTES });
    this.#names = new Names(this.#database);
    this.#lister = new Lister(this.#database, this.#names);
    this.#metrics = new Metrics(this.#database, this.#names);
    this.#recounts = new RecountQueries(this.#database);
    this.#byId = new Query(this.#database, `select ${EVENT_COLUMNS} from events where tenant = ? and id = ?`);
  }

  attach(port: MessagePort): void {
    this.#ports.add(port);
    port.onmessage = async ({ data }: MessageEvent<Request>) => {
      if (data.kind !== "leave") return port.postMessage(await this.#reply(data));
      this.#ports.delete(port);
      port.close();
    };
  }

  close(): void {
    this.#closed = true;
    this.#database.close();
    for (const port of this.#ports) port.close();
  }

  async #reply(request: Numbered<ReaderRequest>): Promise<Reply> {
    try {
      return { kind: "done", call: request.call, value: await this.#answer(request) };
    } catch (error) {
      return failure(request.call, error);
    }
  }

  #answer(request: Numbered<ReaderRequest>): unknown {
    switch (request.kind) {
      case "get":
        return this.#get(request.tenant, request.id);
      case "list":
        return this.#lister.list(request.filter, request.page);
      case "aggregate":
        return toRowColumns(this.#metrics.aggregate(request.query));
      case "count":
        return this.#metrics.count(request.range);
      case "verify":
        return this.#verify(request.range);
      case "ping":
        return this.#names.refresh();
    }
  }

  #get(tenantName: string, id: string): Event | null {
    const tenant = this.#names.tenantId(tenantName);
    const row = tenant === undefined ? undefined : this.#byId.first(tenant, id);
    return row === undefined || isErased(row) ? null : eventOf(row, this.#names);
  }

  /** Gives up the thread after each step, so that other questions are answered meanwhile. */
  async #verify(range: EventRange): Promise<RecountReport> {
    const tenant = this.#names.tenantId(range.tenant);
    if (tenant === undefined) return { events: 0, cells: 0, differing: 0, differences: [], frozenMinutes: 0 };
    const recount = new Recount(this.#recounts, { names: this.#names, tenant, range });
    while (!this.#closed) {
      const hour = recount.next();
      if (hour === null) break;
      do await nextTurn(); while (!this.#closed && readTransaction(this.#database, () => hour.step()));
      if (!this.#closed) recount.take(hour);
    }
    return recount.report;
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

serve((options) => new Reader(options));
