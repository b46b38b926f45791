/**
 * What people do with dead letters: look at them, have them taken after all, delete them. Every transport handler is
 * decode → one call here → encode, as with the hub.
 */
import { decodeLetterCursor, encodeLetterCursor } from "./cursor.ts";
import type { DeadLetter, DeadLetters } from "./dead_letters.ts";
import { type FieldError, HubError } from "./errors.ts";
import { isEventId, parseEvent } from "./event.ts";
import type { HubApi, Published, Sender } from "./hub.ts";
import { DEAD_LETTERS_READ_MAX, PAGE_BYTES_MAX } from "./limits.ts";
import { refused } from "./outcome.ts";
import { EVENT_FRAME_BYTES } from "./page.ts";
import { parseContext, type ParseSettings } from "./parse_context.ts";

/** A page of dead letters, newest first, and the opaque cursor of the next; `null` is the end. */
export interface ListedDeadLetters {
  readonly letters: readonly DeadLetter[];
  readonly nextCursor: string | null;
}

/** What transports may ask. Every method rejects with `unavailable` when the database is away. */
export interface DeadLetterApi {
  /**
   * Letters, newest first. `limit` is at least 1; a page may be shorter, since it ends where `PAGE_BYTES_MAX` is reached.
   * Rejects with `invalid_cursor`.
   */
  list(tenant: string, page: { limit: number; cursor?: string }): Promise<ListedDeadLetters>;

  /** One letter, or `not_found`. */
  get(tenant: string, id: string): Promise<DeadLetter>;

  /**
   * Has the event of a letter taken after all: the one it keeps, or a corrected one. The event keeps the id it had; one
   * that had none, or none that can be an id, gets the name of the letter unless the correction brings one. So repeating
   * stores nothing twice. When the event is stored (or was), the letter is deleted.
   *
   * Rejects with `not_found`, with `invalid_argument` when a correction has another id, and as `HubApi.publish` does; the
   * letter stays then.
   */
  redrive(tenant: string, id: string, corrected?: unknown): Promise<Published>;

  /** Deletes a letter, or `not_found`. */
  delete(tenant: string, id: string): Promise<void>;
}

/** What the desk works with. */
export interface DeadLetterDeskOptions extends ParseSettings {
  readonly letters: Pick<DeadLetters, "list" | "get" | "delete">;
  readonly hub: Pick<HubApi, "publish">;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** The dead letters of a hub. It owns nothing. */
export class DeadLetterDesk implements DeadLetterApi {
  readonly #options: DeadLetterDeskOptions;

  constructor(options: DeadLetterDeskOptions) {
    this.#options = options;
  }

  async list(tenant: string, { limit, cursor }: { limit: number; cursor?: string }): Promise<ListedDeadLetters> {
    const letters: DeadLetter[] = [];
    let after = cursor === undefined ? undefined : decodeLetterCursor(tenant, cursor);
    let bytesLeft = PAGE_BYTES_MAX;
    for (;;) {
      const readLimit = Math.min(limit - letters.length, DEAD_LETTERS_READ_MAX);
      const { letters: read, next } = await this.#options.letters.list(tenant, { limit: readLimit, after });
      letters.push(...read);
      if (next === null) return { letters, nextCursor: null };
      bytesLeft -= read.reduce((sum, letter) => sum + heldBytes(letter), 0);
      if (letters.length >= limit || bytesLeft <= 0) return { letters, nextCursor: encodeLetterCursor(tenant, next) };
      after = next;
    }
  }

  async get(tenant: string, id: string): Promise<DeadLetter> {
    const letter = await this.#options.letters.get(tenant, id);
    if (letter === null) throw unknown();
    return letter;
  }

  async redrive(tenant: string, id: string, corrected?: unknown): Promise<Published> {
    const letter = await this.get(tenant, id);
    // The event came in by Redis, whoever corrects it.
    const sender: Sender = { tenant, source: "redis" };
    const published = await this.#options.hub.publish(this.#eventOf(letter, corrected, sender), sender);
    await this.#options.letters.delete(tenant, id);
    return published;
  }

  async delete(tenant: string, id: string): Promise<void> {
    if (!await this.#options.letters.delete(tenant, id)) throw unknown();
  }

  /** The event to be taken, with its id; the hub says whether it is one. */
  #eventOf(letter: DeadLetter, corrected: unknown, sender: Sender): unknown {
    const kept: unknown = JSON.parse(letter.payload);
    const event = corrected === undefined ? kept : corrected;
    if (!isObject(event)) return event;
    const ownId = isObject(kept) && isEventId(kept.id) ? kept.id : null;
    if (event.id === undefined || event.id === null) return { ...event, id: ownId ?? letter.id };
    if (ownId === null || event.id === ownId || !isEventId(event.id)) return event;
    const detail = `must be ${ownId}, the id the event has, or be left out; delete the letter to send another event`;
    const mismatch: FieldError = { pointer: "/id", code: "mismatch", detail };
    const parsed = parseEvent(event, parseContext(sender, this.#options));
    throw refused([mismatch, ...(parsed.ok ? [] : parsed.errors)]);
  }
}

/** About how much of an answer a letter takes. */
function heldBytes({ id, detail, errors, payload }: DeadLetter): number {
  return EVENT_FRAME_BYTES + id.length + detail.length + payload.length + JSON.stringify(errors).length;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function unknown(): HubError {
  return new HubError("not_found", "There is no dead letter with this id; it may have been taken or deleted");
}
