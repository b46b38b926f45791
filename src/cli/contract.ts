/** The answers of the REST contract, as the command line reads them. */
import type { ErrorCode, FieldError } from "../errors.ts";

/** An error answer (RFC 9457). */
export interface Problem {
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly code: ErrorCode;
  readonly request_id: string;
  readonly errors?: readonly FieldError[];
}

/** An event as `GET /events` and the live stream give it. */
export interface EventAnswer {
  readonly id: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly amount: number;
  readonly timestamp: string;
  readonly properties: Record<string, unknown>;
}

/** Answer of `POST /events`. */
export interface SentAnswer {
  readonly status: "success";
  readonly id: string;
  readonly duplicate: boolean;
}

/** What became of one event of a batch; `index` counts from 0. */
export interface BatchResult {
  readonly index: number;
  readonly id: string | null;
  readonly status: "stored" | "duplicate" | "conflict" | "invalid" | "malformed" | "unavailable";
  readonly errors?: readonly FieldError[];
}

/** Answer of `POST /events/batch`. */
export interface BatchAnswer {
  readonly accepted: number;
  readonly duplicates: number;
  readonly rejected: number;
  readonly retryable: number;
  readonly results: readonly BatchResult[];
}

/** Answer of `GET /events`. */
export interface EventsAnswer {
  readonly events: readonly EventAnswer[];
  readonly next_cursor: string | null;
}

/** A dead letter as `GET /dead-letters` and `GET /dead-letters/{id}` give it. */
export interface DeadLetterAnswer {
  readonly id: string;
  readonly failed_at: string;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly errors: readonly FieldError[];
  /** An event, or the text of a message that was none. */
  readonly payload: unknown;
}

/** Answer of `GET /dead-letters`. */
export interface DeadLettersAnswer {
  readonly dead_letters: readonly DeadLetterAnswer[];
  readonly next_cursor: string | null;
}

/** One row of `GET /aggregates`; amounts are decimal texts. */
export interface AggregateAnswerRow {
  readonly start: string;
  readonly end: string;
  readonly event_type?: string;
  readonly count: number;
  readonly total: string;
  readonly net: string;
  readonly min: string | null;
  readonly max: string | null;
  readonly avg: string | null;
  readonly p50?: string | null;
  readonly p95?: string | null;
  readonly p99?: string | null;
  readonly revision: number;
  readonly closed: boolean;
}

/** Answer of `GET /aggregates`. */
export interface AggregatesAnswer {
  readonly from: string;
  readonly to: string;
  readonly window: string;
  readonly rows: readonly AggregateAnswerRow[];
}

/** Count and sum of a cell; the sum is decimal text. */
export interface TotalAnswer {
  readonly count: number;
  readonly total: string;
}

/** Answer of `POST /admin/rollups/verify` and `/rebuild`. */
export interface RecountAnswer {
  readonly events: number;
  readonly cells: number;
  readonly differing: number;
  /** The first 100. */
  readonly differences: readonly {
    readonly start: string;
    readonly span: "minute" | "hour";
    readonly event_type: string;
    readonly stored: TotalAnswer | null;
    readonly counted: TotalAnswer | null;
  }[];
  readonly frozen_minutes: number;
}
