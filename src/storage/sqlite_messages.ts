/** What the threads of the SQLite store say to each other. */
import type { ErrorCode } from "../errors.ts";
import type { PurgeBorder } from "../retention.ts";
import type { AggregateQuery, Cell } from "../rollup.ts";
import type { AppendStatus, EventFilter, EventRange, PagePosition, PageRequest } from "../storage.ts";
import type { EventColumns } from "./sqlite_columns.ts";

/** Statuses of appended events go as bytes: their places here. */
export const STATUSES: readonly AppendStatus[] = [
  "stored",
  "duplicate",
  "conflict",
  "too_many_event_types",
  "purged",
  "unavailable",
];

/** The byte of a status. */
export const STATUS = {
  stored: 0,
  duplicate: 1,
  conflict: 2,
  too_many_event_types: 3,
  purged: 4,
  unavailable: 5,
} as const satisfies Record<AppendStatus, number>;

/** What a thread wants to hear of others' commits: nothing, that they happened, or the cells they changed too. */
export type FollowLevel = "nothing" | "commits" | "cells";

/** Said by a thread that goes: nobody is told of a port whose other end was closed. */
export interface Leave {
  readonly kind: "leave";
}

/** Said when nobody waits for the answer to a call any more. */
export interface Withdraw {
  readonly kind: "withdraw";
  readonly call: number;
}

/** Cells of a minute between threads: `Histogram.encode` of each. */
export interface SentCells {
  readonly tenant: string;
  readonly start: number;
  readonly cells: readonly (readonly [eventType: string, cell: Cell, histogram: Uint8Array])[];
}

/** Work for a move: see `StoreTransfer`. `index` indexes everything, so that histograms hold all events. */
export type TransferTask =
  | { readonly kind: "index" }
  | { readonly kind: "add"; readonly groups: readonly SentCells[]; readonly check: boolean }
  | { readonly kind: "refuse"; readonly through: number }
  | { readonly kind: "import"; readonly isUnderWay: boolean };

/** Asked of the writer. All but `follow` and `leave` carry the number of their call. */
export type WriterRequest =
  | { readonly kind: "append"; readonly columns: EventColumns }
  | { readonly kind: "purge"; readonly border: PurgeBorder }
  | { readonly kind: "erase"; readonly tenant: string; readonly userId: string }
  | { readonly kind: "rebuild"; readonly range: EventRange }
  | { readonly kind: "transfer"; readonly task: TransferTask }
  | { readonly kind: "ping" }
  /** `seen`: the last row the client had seen when it asked; `null` when it looks for itself. */
  | { readonly kind: "follow"; readonly level: FollowLevel; readonly seen: number | null }
  | Leave;

/** Asked of the reader. */
export type ReaderRequest =
  | { readonly kind: "get"; readonly tenant: string; readonly id: string }
  | { readonly kind: "list"; readonly filter: EventFilter; readonly page: PageRequest }
  | { readonly kind: "aggregate"; readonly query: AggregateQuery }
  | { readonly kind: "count"; readonly range: EventRange }
  | { readonly kind: "verify"; readonly range: EventRange }
  | { readonly kind: "ping" }
  | Leave;

/** A request that is answered, with the number of its call. */
export type Numbered<T> = Exclude<T, { readonly kind: "follow" | "leave" }> & { readonly call: number };

/** The cells that a commit changed, as columns. */
export interface ChangedColumns {
  readonly kinds: readonly (readonly [tenant: string, eventType: string])[];
  /** Pairs: the place of the kind, the start of the minute. */
  readonly cells: Float64Array<ArrayBuffer>;
}

/** The answer to an append. */
export interface Appended {
  /** A byte an event, a place in {@link STATUSES}; `null` when all were stored. */
  readonly statuses: Uint8Array<ArrayBuffer> | null;
}

/** The answer to a list. */
export interface ListAnswer {
  readonly columns: EventColumns;
  readonly ties: readonly string[];
  readonly next: PagePosition | null;
}

/** What the writer and the reader answer. */
export type Reply =
  | { readonly kind: "done"; readonly call: number; readonly value: unknown }
  | { readonly kind: "failed"; readonly call: number; readonly code: ErrorCode; readonly message: string }
  | { readonly kind: "committed"; readonly changed: ChangedColumns | null };

/** What the main thread tells the store's client on any thread: the ports of the Workers, again after a restart. */
export type ClientControl =
  | { readonly kind: "writer"; readonly port: MessagePort | null }
  | { readonly kind: "reader"; readonly port: MessagePort | null };

/** What the main thread tells its Workers. `start` comes first and once. */
export type WorkerControl =
  | { readonly kind: "start"; readonly options: WorkerOptions }
  | { readonly kind: "attach"; readonly port: MessagePort }
  | { readonly kind: "ping" }
  | { readonly kind: "close" };

/** How a Worker opens the file. */
export interface WorkerOptions {
  readonly path: string;
  readonly busyTimeoutMs: number;
  /** How long a failed transaction counts as trouble when none succeeds. */
  readonly troubleMs: number;
  /** For tests of a full disk: the file may not have more pages. */
  readonly pagesMax?: number;
  /** For tests of the index: a step goes over so few rows. */
  readonly indexStepRows?: number;
  /** For tests of its bound: a question about windows may read so few cells. */
  readonly aggregateCellsMax?: number;
}

/** What a Worker tells the main thread. */
export type WorkerReport =
  | { readonly kind: "ready" }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "pong" }
  | { readonly kind: "log"; readonly level: "info" | "warning" | "error"; readonly text: string }
  | { readonly kind: "closed" };
