/** The store as a thread that serves clients holds it: everything is asked of the Workers, over ports of its own. */
import type { Event } from "../event.ts";
import type { AggregateQuery, AggregateRow } from "../rollup.ts";
import type {
  AppendStatus,
  EventFilter,
  EventPage,
  EventRange,
  EventStore,
  PageRequest,
  RecountReport,
  StoreHealth,
  Total,
} from "../storage.ts";
import type { ChangedCell, ChangedCells } from "../stream.ts";
import { SQLITE_HEALTH_MS } from "../limits.ts";
import { type CallOptions, Calls } from "./sqlite_calls.ts";
import { fromColumns, toColumns } from "./sqlite_columns.ts";
import {
  type Appended,
  type ChangedColumns,
  type ClientControl,
  type FollowLevel,
  type Leave,
  type ListAnswer,
  type ReaderRequest,
  STATUSES,
  type TransferTask,
  type WriterRequest,
} from "./sqlite_messages.ts";
import { fromRowColumns, type RowColumns } from "./sqlite_rows.ts";

/** The driver over one SQLite file. */
export class SqliteStore implements EventStore {
  readonly name = "sqlite";
  readonly settlesOnAppend = true;
  readonly #control: MessagePort;
  readonly #attached = Promise.withResolvers<void>();
  readonly #writer = new Calls<WriterRequest>("writer", ({ changed }) => this.#notify(changed));
  readonly #reader = new Calls<ReaderRequest>("reader");
  readonly #listeners = new Set<() => void>();
  readonly #cellListeners = new Set<(cells: ChangedCells) => void>();
  readonly #question: CallOptions;
  #health: Promise<StoreHealth> | null = null;
  #closed: Promise<void> | null = null;

  /**
   * `control`: where the main thread tells the ports of the Workers. `questionMs`: how long a question may wait for its
   * answer, milliseconds; a recount may take longer.
   */
  constructor(control: MessagePort, options: { questionMs: number }) {
    this.#control = control;
    this.#question = { deadline: { milliseconds: options.questionMs, code: "deadline_exceeded" } };
    let [writer, reader] = [false, false];
    control.onmessage = ({ data }: MessageEvent<ClientControl>) => {
      if (data.kind === "writer") {
        this.#writer.connect(data.port);
        this.#follow(null);
        // Another thread may have stored events while this one had no writer to hear it from.
        if (writer && data.port !== null) this.#notify("all");
        writer = true;
      } else {
        this.#reader.connect(data.port);
        reader = true;
      }
      if (writer && reader) this.#attached.resolve();
    };
  }

  /** Resolves when both Workers can be reached. */
  get attached(): Promise<void> {
    return this.#attached.promise;
  }

  async append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    if (events.length === 0) return [];
    const columns = toColumns(events);
    try {
      const options = { transfer: [columns.numbers.buffer], unbounded: true };
      const { statuses } = await this.#writer.call({ kind: "append", columns }, options) as Appended;
      if (statuses === null) return new Array<AppendStatus>(events.length).fill("stored");
      return Array.from(statuses, (status) => STATUSES[status]!);
    } catch {
      // The writer died or is closed: nothing is known of these events.
      return new Array<AppendStatus>(events.length).fill("unavailable");
    }
  }

  async get(tenant: string, id: string): Promise<Event | null> {
    return await this.#reader.call({ kind: "get", tenant, id }, this.#question) as Event | null;
  }

  async list(filter: EventFilter, page: PageRequest): Promise<EventPage> {
    const answer = await this.#reader.call({ kind: "list", filter, page }, this.#question);
    const { columns, ties, next } = answer as ListAnswer;
    return { events: fromColumns(columns), ties, next };
  }

  async aggregate(query: AggregateQuery): Promise<readonly AggregateRow[]> {
    return fromRowColumns(await this.#reader.call({ kind: "aggregate", query }, this.#question) as RowColumns);
  }

  async count(range: EventRange): Promise<Total> {
    return await this.#reader.call({ kind: "count", range }, this.#question) as Total;
  }

  /** Nothing is ever left to count: cells are folded in the transaction that stores their events. */
  async settle(): Promise<number> {
    await this.#writer.call({ kind: "ping" });
    return 0;
  }

  async verify(range: EventRange): Promise<RecountReport> {
    return await this.#reader.call({ kind: "verify", range }) as RecountReport;
  }

  async rebuild(range: EventRange): Promise<RecountReport> {
    return await this.#writer.call({ kind: "rebuild", range }) as RecountReport;
  }

  async purge(receivedBefore: number, { now = Infinity } = {}): Promise<number> {
    return await this.#writer.call({ kind: "purge", border: { receivedBefore, now } }) as number;
  }

  async erase(tenant: string, userId: string): Promise<number> {
    return await this.#writer.call({ kind: "erase", tenant, userId }) as number;
  }

  /** Has the writer do work for a move. */
  async move(task: TransferTask): Promise<unknown> {
    return await this.#writer.call({ kind: "transfer", task });
  }

  /** One sign of life at a time is asked for, whoever wants to know, and both Workers give it ahead of what waits. */
  health(): Promise<StoreHealth> {
    return this.#health ??= this.#askHealth().finally(() => this.#health = null);
  }

  async #askHealth(): Promise<StoreHealth> {
    const deadline = { milliseconds: SQLITE_HEALTH_MS, code: "unavailable" } as const;
    const ping = (worker: { call(request: { kind: "ping" }, options: CallOptions): Promise<unknown> }) =>
      worker.call({ kind: "ping" }, { deadline, unbounded: true }) as Promise<StoreHealth>;
    try {
      const answers = await Promise.all([ping(this.#writer), ping(this.#reader)]);
      return answers.find(({ ok }) => !ok) ?? answers[0];
    } catch (error) {
      return { ok: false, detail: error instanceof Error ? error.message : String(error) };
    }
  }

  /** Calls back after every commit behind the row `seen` that made the log longer, until the returned function is called. */
  watch(listener: () => void, seen: number): () => void {
    return this.#listen(this.#listeners, { listener: () => listener(), seen });
  }

  /** Calls back with what each commit behind the row `seen` changed, and after a gap with `all`, until the returned function is called. */
  watchCells(listener: (cells: ChangedCells) => void, seen: number): () => void {
    return this.#listen(this.#cellListeners, { listener: (cells) => listener(cells), seen });
  }

  /** Waits for what is being asked and lets go of the Workers. The database stays open. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.#closed ??= this.#close();
  }

  async #close(): Promise<void> {
    const answered = Promise.all([this.#writer.whenAnswered(), this.#reader.whenAnswered()]);
    this.#listeners.clear();
    this.#cellListeners.clear();
    await answered;
    this.#control.postMessage({ kind: "leave" } satisfies Leave);
    this.#control.close();
    this.#writer.close();
    this.#reader.close();
  }

  #listen<T>(listeners: Set<T>, { listener, seen }: { listener: T; seen: number }): () => void {
    if (this.#closed) return () => {};
    listeners.add(listener);
    this.#follow(seen);
    return () => {
      listeners.delete(listener);
      this.#follow(null);
    };
  }

  /** Tells the writer what this thread wants to hear. */
  #follow(seen: number | null): void {
    const level: FollowLevel = this.#cellListeners.size > 0
      ? "cells"
      : this.#listeners.size > 0
      ? "commits"
      : "nothing";
    this.#writer.tell({ kind: "follow", level, seen });
  }

  #notify(changed: ChangedColumns | "all" | null): void {
    for (const listener of this.#listeners) listener();
    if (changed === null || this.#cellListeners.size === 0) return;
    const cells = changed === "all" ? changed : changedCells(changed);
    for (const listener of this.#cellListeners) listener(cells);
  }
}

function changedCells({ kinds, cells }: ChangedColumns): ChangedCell[] {
  return Array.from({ length: cells.length / 2 }, (_, i) => {
    const [tenant, eventType] = kinds[cells[2 * i]!]!;
    return { tenant, start: cells[2 * i + 1]!, eventType };
  });
}
