/**
 * The Worker that answers questions: lists, windows, counts, recounts. A long answer is given in steps, each one short
 * read transaction: a long one would keep the log of the database from being emptied. Between steps others are answered.
 */
import type { DatabaseSync } from "node:sqlite";
import { SQLITE_READ_TURN_MS, SQLITE_READER_CACHE_KIBIBYTES } from "../limits.ts";
import type { Event } from "../event.ts";
import type { EventRange, RecountReport, StoreHealth } from "../storage.ts";
import { EVENT_COLUMNS, eventOf, isErased } from "./sqlite_columns.ts";
import { openForReading, Query, readTransaction } from "./sqlite_connection.ts";
import { Counter } from "./sqlite_count.ts";
import { Lister } from "./sqlite_list.ts";
import type { Leave, Numbered, ReaderRequest, Reply, Withdraw, WorkerOptions } from "./sqlite_messages.ts";
import { Names } from "./sqlite_names.ts";
import { Recount } from "./sqlite_recount.ts";
import { RecountQueries } from "./sqlite_recount_queries.ts";
import { toRowColumns } from "./sqlite_rows.ts";
import { Windows } from "./sqlite_windows.ts";
import {
  damaged,
  failure,
  isDamage,
  isDatabaseError,
  messageOf,
  nextMessage,
  serve,
  type Service,
  Trouble,
} from "./sqlite_worker.ts";

type Request = Numbered<ReaderRequest> | Leave | Withdraw;
type Asked = Exclude<Numbered<ReaderRequest>, { readonly kind: "ping" }>;

/** A question that waits or is being answered: each `next` is a step. */
interface Question {
  readonly port: MessagePort;
  readonly call: number;
  readonly steps: Iterator<void, unknown>;
}

class Reader implements Service {
  readonly #database: DatabaseSync;
  readonly #names: Names;
  readonly #lister: Lister;
  readonly #counter: Counter;
  readonly #windows: Windows;
  readonly #recounts: RecountQueries;
  readonly #byId: Query;
  readonly #ports = new Set<MessagePort>();
  /** Those that take a step, those that take some, those that take many: a turn goes over all three. */
  readonly #short: Question[] = [];
  readonly #long: Question[] = [];
  readonly #recounting: Question[] = [];
  readonly #trouble = new Trouble();
  /** Set for good when the file turned out to be damaged. */
  #damage: StoreHealth | null = null;
  #running = false;
  #closed = false;

  constructor({ path, aggregateCellsMax }: WorkerOptions) {
    this.#database = openForReading(path, { cacheKibibytes: SQLITE_READER_CACHE_KIBIBYTES });
    this.#names = new Names(this.#database);
    this.#lister = new Lister(this.#database, this.#names);
    this.#counter = new Counter(this.#database, this.#names);
    this.#windows = new Windows(this.#database, this.#names, { cellsMax: aggregateCellsMax });
    this.#recounts = new RecountQueries(this.#database);
    this.#byId = new Query(this.#database, `select ${EVENT_COLUMNS} from events where tenant = ? and id = ?`);
  }

  attach(port: MessagePort): void {
    this.#ports.add(port);
    port.onmessage = ({ data }: MessageEvent<Request>) => {
      this.#hear(port, data);
      this.#wake();
    };
  }

  close(): void {
    this.#closed = true;
    this.#database.close();
    for (const port of this.#ports) port.close();
  }

  get #lanes(): readonly Question[][] {
    return [this.#short, this.#long, this.#recounting];
  }

  #hear(port: MessagePort, request: Request): void {
    switch (request.kind) {
      case "leave":
        this.#forget((question) => question.port === port);
        this.#ports.delete(port);
        return port.close();
      case "withdraw":
        return this.#forget((question) => question.port === port && question.call === request.call);
      case "ping":
        // At once, ahead of all that waits: it tells whether the reader lives, and not how much it has to do.
        return port.postMessage(this.#pong(request.call));
      default:
        this.#laneOf(request).push({ port, call: request.call, steps: this.#answer(request) });
    }
  }

  #pong(call: number): Reply {
    try {
      this.#names.refresh();
      if (this.#damage !== null) return { kind: "done", call, value: this.#damage };
      return { kind: "done", call, value: { ok: true, detail: "questions are answered" } satisfies StoreHealth };
    } catch (error) {
      return this.#failed(call, error);
    }
  }

  /** The reply to a question that failed. Nobody but who asked would hear of it: so it is told, once. */
  #failed(call: number, error: unknown): Reply {
    if (isDamage(error)) this.#damage ??= damaged(error);
    if (isDatabaseError(error)) {
      const what = error instanceof Error ? error.stack : String(error);
      this.#trouble.tell("error", `A question could not be answered: ${what}`, messageOf(error));
    }
    return failure(call, error);
  }

  /** Does not answer what nobody waits for, also when it was begun. */
  #forget(matches: (question: Question) => boolean): void {
    for (const lane of this.#lanes) {
      for (let at = lane.findIndex(matches); at !== -1; at = lane.findIndex(matches)) lane.splice(at, 1);
    }
  }

  #laneOf({ kind }: Asked): Question[] {
    if (kind === "aggregate") return this.#long;
    return kind === "verify" ? this.#recounting : this.#short;
  }

  /** Works until nothing waits; gives up the thread after each turn, so that other messages are heard. */
  #wake(): void {
    if (this.#running || this.#closed) return;
    this.#running = true;
    this.#turn();
  }

  readonly #turn = (): void => {
    if (this.#closed) return;
    for (const lane of this.#lanes) {
      this.#drain();
      const end = performance.now() + SQLITE_READ_TURN_MS;
      while (lane.length > 0 && performance.now() < end) this.#step(lane);
    }
    this.#running = this.#lanes.some((lane) => lane.length > 0);
    if (this.#running) setImmediate(this.#turn);
  };

  /** Takes what waits at the ports. */
  #drain(): void {
    for (const port of this.#ports) {
      for (;;) {
        const request = nextMessage<Request>(port);
        if (request === undefined) break;
        this.#hear(port, request);
      }
    }
  }

  /** One step of the first question of a lane. */
  #step(lane: Question[]): void {
    const { port, call, steps } = lane[0]!;
    try {
      const { done, value } = steps.next();
      if (!done) return;
      port.postMessage({ kind: "done", call, value } satisfies Reply);
    } catch (error) {
      port.postMessage(this.#failed(call, error));
    }
    lane.shift();
  }

  *#answer(request: Asked): Generator<void, unknown> {
    switch (request.kind) {
      case "get":
        return this.#get(request.tenant, request.id);
      case "list":
        return this.#lister.list(request.filter, request.page);
      case "aggregate":
        return toRowColumns(yield* this.#windows.aggregate(request.query));
      case "count":
        return this.#counter.count(request.range);
      case "verify":
        return yield* this.#verify(request.range);
    }
  }

  #get(tenantName: string, id: string): Event | null {
    const tenant = this.#names.tenantId(tenantName);
    const row = tenant === undefined ? undefined : this.#byId.first(tenant, id);
    return row === undefined || isErased(row) ? null : eventOf(row, this.#names);
  }

  *#verify(range: EventRange): Generator<void, RecountReport> {
    const tenant = this.#names.tenantId(range.tenant);
    if (tenant === undefined) return { events: 0, cells: 0, differing: 0, differences: [], frozenMinutes: 0 };
    const recount = new Recount(this.#recounts, { names: this.#names, tenant, range });
    for (;;) {
      const hour = recount.next();
      if (hour === null) return recount.report;
      do yield; while (readTransaction(this.#database, () => hour.step()));
      recount.take(hour);
    }
  }
}

serve((options) => new Reader(options));
