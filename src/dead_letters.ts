/**
 * The port to dead letters: inbound messages that could not be taken, kept with the reason until somebody corrects or
 * deletes them. `tests/storage/dead_letters_conformance.ts` is its suite.
 */
import type { ErrorCode, FieldError } from "./errors.ts";

/** A message that could not be taken. */
export interface DeadLetter {
  /** Names the message among those of its tenant: `in:<marker>:<entry id>`. */
  readonly id: string;
  readonly tenant: string;
  /** When it was put aside, milliseconds. */
  readonly failedAt: number;
  /** Why: `invalid_argument`, `conflict`, `malformed`, `payload_too_large` or `internal`. */
  readonly code: ErrorCode;
  /** The reason in a sentence. */
  readonly detail: string;
  readonly errors: readonly FieldError[];
  /** The message as JSON text: an event as `POST /events` takes it, or a text where it was none. */
  readonly payload: string;
  /** The user it names, so that erasure finds it; `null` where it names none. */
  readonly userId: string | null;
}

/** A page of dead letters, newest first. */
export interface DeadLetterPage {
  readonly letters: readonly DeadLetter[];
  /** Where the next page begins; `null` is the end. The driver's own text. */
  readonly next: string | null;
}

/** Dead letters of all tenants. Every method rejects with a `HubError` of code `unavailable` when the database is away. */
export interface DeadLetters extends AsyncDisposable {
  /**
   * Keeps letters; resolves when they are durable. One whose tenant and id are there already is left as it is, so that
   * adding again is harmless. Beyond `DEAD_LETTERS_MAX` of a tenant its oldest are dropped; answers how many were.
   */
  add(letters: readonly DeadLetter[]): Promise<number>;

  /** A page of a tenant, newest first; `after` is the `next` of the page before. Throws `invalid_cursor`. */
  list(tenant: string, page: { limit: number; after?: string }): Promise<DeadLetterPage>;

  /** One letter, or `null`. */
  get(tenant: string, id: string): Promise<DeadLetter | null>;

  /** Deletes a letter; `false` when it is not there. */
  delete(tenant: string, id: string): Promise<boolean>;

  /** Deletes the letters that name a user; answers how many. */
  erase(tenant: string, userId: string): Promise<number>;
}
