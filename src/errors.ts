/**
 * The closed set of errors that Event Hub shows. Every transport has one table from {@link ErrorCode} to its own
 * status, checked by the compiler for completeness.
 */

/** What went wrong with a request as a whole. */
export type ErrorCode =
  | "invalid_argument"
  | "malformed"
  | "conflict"
  | "not_found"
  | "method_not_allowed"
  | "not_acceptable"
  | "invalid_cursor"
  | "range_too_large"
  | "cursor_reset"
  | "slow_consumer"
  | "unauthenticated"
  | "permission_denied"
  | "payload_too_large"
  | "unsupported_media_type"
  | "rate_limited"
  | "timeout"
  | "overloaded"
  | "unavailable"
  | "deadline_exceeded"
  | "internal";

/** What is wrong with one field or parameter. */
export type FieldErrorCode =
  | "required"
  | "invalid_type"
  | "invalid_value"
  | "invalid_format"
  | "too_short"
  | "too_long"
  | "too_deep"
  | "out_of_range"
  | "too_precise"
  | "invalid_timestamp"
  | "too_far_in_future"
  | "too_old"
  | "unknown_field"
  | "unknown_parameter"
  | "mismatch"
  | "too_many_event_types";

/** One fault of the input: where it is, what it is, and what was expected instead. */
export interface FieldError {
  /** JSON pointer (RFC 6901) of the faulty member in the names of the REST contract, for example `/amount`. */
  readonly pointer?: string;
  /** Name of the faulty query parameter or header, when it is not in a body. */
  readonly parameter?: string;
  readonly code: FieldErrorCode;
  /** A sentence that says what was expected. */
  readonly detail: string;
}

/** A fault in a sentence: where it is, unless that is the whole input, and what was expected. */
export function sentenceOf({ pointer, parameter, detail }: FieldError): string {
  const place = pointer ?? parameter ?? "";
  return place === "" ? detail : `${place}: ${detail}`;
}

/** What may be known about an error beside its code and message. */
export interface HubErrorOptions extends ErrorOptions {
  /** All faulty fields, for `invalid_argument` and its relatives. */
  readonly errors?: readonly FieldError[];
  /** The id the hub gave an event that came without one, so that a retry is safe. */
  readonly id?: string;
  /** When a retry makes sense. */
  readonly retryAfterSeconds?: number;
  /** Where a cut subscription goes on. */
  readonly cursor?: string;
}

const RETRYABLE: ReadonlySet<ErrorCode> = new Set([
  "rate_limited",
  "timeout",
  "overloaded",
  "unavailable",
  "deadline_exceeded",
]);

/** An error that may be shown to a client: its message holds nothing secret. Anything else thrown is `internal`. */
export class HubError extends Error {
  override readonly name = "HubError";
  readonly code: ErrorCode;
  readonly errors: readonly FieldError[];
  readonly id: string | undefined;
  readonly retryAfterSeconds: number | undefined;
  readonly cursor: string | undefined;

  constructor(code: ErrorCode, message: string, options: HubErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.errors = options.errors ?? [];
    this.id = options.id;
    this.retryAfterSeconds = options.retryAfterSeconds ?? (RETRYABLE.has(code) ? 1 : undefined);
    this.cursor = options.cursor;
  }

  /** Whether sending the same again (with the same id) can succeed. */
  get retryable(): boolean {
    return RETRYABLE.has(this.code);
  }
}

/** The error as a client may see it: a {@link HubError} as it is, anything else as a masked `internal`. */
export function toHubError(error: unknown): HubError {
  if (error instanceof HubError) return error;
  return new HubError("internal", "The hub failed in a way it did not expect; the request id names the log entry", {
    cause: error,
  });
}

/** Settles as `work` does; an `invalid_cursor` among its rejections then names the argument that held the cursor. */
export async function namingCursor<T>(parameter: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof HubError) || error.code !== "invalid_cursor" || error.errors.length > 0) throw error;
    const errors: FieldError[] = [{ parameter, code: "invalid_value", detail: error.message }];
    throw new HubError(error.code, `${parameter}: ${error.message}`, { errors, cause: error });
  }
}
