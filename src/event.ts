/**
 * The event, and the only way to obtain one: {@link parseEvent}.
 *
 * The parser is written by hand, not with a schema library: it stands in the path of every event, tells all faults with
 * the codes of the contract, and takes what `JSON.parse` gives (an own member `__proto__`, for example) as it is.
 */
import { type Amount, parseAmount } from "./amount.ts";
import type { FieldError } from "./errors.ts";
import { type FaultBudget, Faults, pointerToken } from "./faults.ts";
import { EVENT_ID_CHARACTERS_MAX, EVENT_TYPE_CHARACTERS_MAX, USER_ID_CODE_POINTS_MAX } from "./limits.ts";
import { parseProperties, sameProperties } from "./properties.ts";
import { parseTimestamp } from "./timestamp.ts";

const SOURCES = ["rest", "graphql", "grpc", "redis", "import"] as const;

/** The protocol an event came in over. */
export type Source = typeof SOURCES[number];

/** A business event. Immutable; only {@link parseEvent} and the drivers make one. */
export interface Event {
  /** 1–128 characters of `[A-Za-z0-9._:@~+=/-]`, unique within its tenant. */
  readonly id: string;
  /** `^[a-z0-9][a-z0-9_-]{0,62}$`. */
  readonly tenant: string;
  readonly userId: string;
  readonly eventType: string;
  /** Integer of 1/10,000. */
  readonly amount: Amount;
  /** When it happened: milliseconds since the epoch, UTC. */
  readonly timestamp: number;
  /** Whether the sender gave the timestamp; one the hub filled in is not compared with a resend. */
  readonly timestampGiven: boolean;
  /** When the hub took it: milliseconds since the epoch, UTC. */
  readonly receivedAt: number;
  readonly source: Source;
  /** JSON text of an object with at least one member, or `null` for none (a missing and an empty object are equal). */
  readonly properties: string | null;
}

/** What an event costs in memory beside its texts: numbers, flags and object headers. */
const EVENT_OVERHEAD_BYTES = 300;

/** About how much memory an event holds, bytes; what bounds of memory are counted in. */
export function heldBytes({ id, userId, properties }: Event): number {
  return EVENT_OVERHEAD_BYTES + id.length + userId.length + (properties?.length ?? 0);
}

/** What parsing needs to know beside the input. */
export interface ParseContext {
  readonly tenant: string;
  readonly source: Source;
  /** The hub's clock, milliseconds. */
  readonly now: number;
  /** IANA zone in which timestamps without a zone are read. */
  readonly naiveZone: string;
  /** How far in the future a timestamp may lie, milliseconds. */
  readonly maxFutureMs: number;
  /** With retention on, the oldest timestamp taken, milliseconds; otherwise `null`. */
  readonly oldest: number | null;
  /** Gives an id to an event that came without one. */
  readonly newId: () => string;
  /** What may still be told of the faults of the batch that the event is in. */
  readonly faultBudget?: FaultBudget;
}

/** An event, or everything that is wrong with it. `id` is the id the sender gave, when that was a text. */
export type ParseResult =
  | { readonly ok: true; readonly event: Event; readonly idGiven: boolean }
  | { readonly ok: false; readonly errors: readonly FieldError[]; readonly id: string | null };

/** Names that would collide with routes (`/events/batch`, `/events/stream`). */
const RESERVED_IDS: ReadonlySet<string> = new Set(["batch", "stream"]);
const EVENT_ID = new RegExp(`^[A-Za-z0-9._:@~+=/-]{1,${EVENT_ID_CHARACTERS_MAX}}$`);
const TENANT = /^[a-z0-9][a-z0-9_-]{0,62}$/;
const EVENT_TYPE = new RegExp(`^[A-Za-z][A-Za-z0-9_.:-]{0,${EVENT_TYPE_CHARACTERS_MAX - 1}}$`);
/** Most user ids; the others are looked at character by character. */
const PLAIN_USER_ID = new RegExp(`^[ -~]{1,${USER_ID_CODE_POINTS_MAX}}$`);
const CONTROL_CHARACTER = /\p{Cc}/u;
const MEMBERS = ["id", "user_id", "event_type", "amount", "timestamp", "properties"];
/** Characters of an unknown name that an error repeats. */
const SHOWN_NAME_CHARACTERS = 64;

/**
 * Reads an event from a JSON-like value with the member names of the REST contract (`id, user_id, event_type, amount,
 * timestamp, properties`). Faults are told all at once (at most `FIELD_ERRORS_MAX`, and beyond the budget the first alone).
 * `null` is the same as a missing member.
 */
export function parseEvent(input: unknown, context: ParseContext): ParseResult {
  if (typeof input !== "object" || input === null || Array.isArray(input)) {
    const error: FieldError = { pointer: "", code: "invalid_type", detail: "An event must be a JSON object" };
    return { ok: false, errors: [error], id: null };
  }
  const faults = new Faults(context.faultBudget);
  const members = input as Record<string, unknown>;
  const id = parseId(members.id, faults);
  const userId = parseUserId(members.user_id, faults);
  const eventType = parseEventType(members.event_type, faults);
  let amount = 0;
  if (isMissing(members.amount)) {
    faults.add("/amount", "required", "amount is required");
  } else {
    const parsed = parseAmount(members.amount);
    if (parsed.ok) amount = parsed.amount;
    else faults.add("/amount", parsed.code, `amount ${parsed.detail}`);
  }
  const timestamp = parseEventTime(members.timestamp, context, faults);
  const properties = isMissing(members.properties) || faults.full
    ? null
    : parseProperties(members.properties, faults, "/properties");
  for (const name in input) {
    if (faults.full) break;
    if (!isMember(name)) faults.add("/" + pointerToken(name), "unknown_field", unknownDetail(name));
  }
  if (faults.errors !== null) {
    return { ok: false, errors: faults.errors, id: typeof members.id === "string" ? members.id.toWellFormed() : null };
  }
  const event: Event = {
    id: id ?? context.newId(),
    tenant: context.tenant,
    userId,
    eventType,
    amount,
    timestamp: timestamp ?? context.now,
    timestampGiven: timestamp !== null,
    receivedAt: context.now,
    source: context.source,
    properties,
  };
  return { ok: true, event, idGiven: id !== null };
}

/** What keeps a text from being the id of a user, as the rest of a sentence; `null` when nothing does. */
export function userIdFault(text: string): Pick<FieldError, "code" | "detail"> | null {
  if (PLAIN_USER_ID.test(text)) return null;
  if (text === "") return { code: "too_short", detail: "must have at least 1 character" };
  if (!text.isWellFormed()) {
    return { code: "invalid_format", detail: "must be well-formed Unicode, without lone surrogates" };
  }
  if (CONTROL_CHARACTER.test(text)) return { code: "invalid_format", detail: "must not contain control characters" };
  if (!isLongerThan(text, USER_ID_CODE_POINTS_MAX)) return null;
  return { code: "too_long", detail: `must have at most ${USER_ID_CODE_POINTS_MAX} characters` };
}

/** Whether a text names a protocol that events come in over. */
export function isSource(text: string): text is Source {
  return SOURCES.includes(text as Source);
}

/** Whether a text can be the name of a tenant. */
export function isTenant(text: string): boolean {
  return TENANT.test(text);
}

/** Whether a value can be the id of an event. */
export function isEventId(value: unknown): value is string {
  return typeof value === "string" && EVENT_ID.test(value) && !RESERVED_IDS.has(value);
}

/** Whether a text can be the name of an event type. */
export function isEventType(text: string): boolean {
  return EVENT_TYPE.test(text);
}

/**
 * Whether a resent event has the content of the stored one: everything is compared by value but `receivedAt`, `source`
 * and a timestamp the sender left out on either side.
 */
export function sameContent(stored: Event, resent: Event): boolean {
  return stored.id === resent.id && stored.tenant === resent.tenant && stored.userId === resent.userId &&
    stored.eventType === resent.eventType && stored.amount === resent.amount &&
    (!stored.timestampGiven || !resent.timestampGiven || stored.timestamp === resent.timestamp) &&
    sameProperties(stored.properties, resent.properties);
}

function isMissing(value: unknown): value is null | undefined {
  return value === undefined || value === null;
}

/** The id that was sent, or `null` for none. */
function parseId(value: unknown, faults: Faults): string | null {
  if (isMissing(value)) return null;
  if (typeof value !== "string") {
    faults.add("/id", "invalid_type", "id must be a string");
  } else if (EVENT_ID.test(value)) {
    if (!RESERVED_IDS.has(value)) return value;
    faults.add("/id", "invalid_value", `id must not be the word "${value}"`);
  } else if (value === "") {
    faults.add("/id", "too_short", "id must have at least 1 character; leave it out to be given one");
  } else if (value.length > EVENT_ID_CHARACTERS_MAX) {
    faults.add("/id", "too_long", `id must have at most ${EVENT_ID_CHARACTERS_MAX} characters`);
  } else {
    faults.add("/id", "invalid_format", "id must consist of letters, digits and . _ : @ ~ + = / -");
  }
  return null;
}

function parseUserId(value: unknown, faults: Faults): string {
  if (isMissing(value)) {
    faults.add("/user_id", "required", "user_id is required");
  } else if (typeof value !== "string") {
    faults.add("/user_id", "invalid_type", "user_id must be a string");
  } else {
    const fault = userIdFault(value);
    if (fault === null) return value;
    faults.add("/user_id", fault.code, `user_id ${fault.detail}`);
  }
  return "";
}

function parseEventType(value: unknown, faults: Faults): string {
  if (isMissing(value)) {
    faults.add("/event_type", "required", "event_type is required");
  } else if (typeof value !== "string") {
    faults.add("/event_type", "invalid_type", "event_type must be a string");
  } else if (EVENT_TYPE.test(value)) {
    return value;
  } else if (value === "") {
    faults.add("/event_type", "too_short", "event_type must have at least 1 character");
  } else if (value.length > EVENT_TYPE_CHARACTERS_MAX) {
    faults.add("/event_type", "too_long", `event_type must have at most ${EVENT_TYPE_CHARACTERS_MAX} characters`);
  } else {
    faults.add(
      "/event_type",
      "invalid_format",
      "event_type must begin with a letter and consist of letters, digits and _ . : -",
    );
  }
  return "";
}

/** The time that was sent, or `null` for none. */
function parseEventTime(value: unknown, context: ParseContext, faults: Faults): number | null {
  if (isMissing(value)) return null;
  if (typeof value !== "string") {
    faults.add("/timestamp", "invalid_type", "timestamp must be a string, an RFC 3339 time");
    return null;
  }
  const parsed = parseTimestamp(value, context.naiveZone);
  if (!parsed.ok) {
    faults.add("/timestamp", "invalid_timestamp", `timestamp ${parsed.detail}`);
    return null;
  }
  if (parsed.timestamp > context.now + context.maxFutureMs) {
    const seconds = context.maxFutureMs / 1000;
    faults.add("/timestamp", "too_far_in_future", `timestamp must be at most ${seconds} s ahead of the hub's clock`);
  } else if (context.oldest !== null && parsed.timestamp < context.oldest) {
    const oldest = new Date(context.oldest).toISOString();
    faults.add("/timestamp", "too_old", `timestamp must not be before ${oldest}: older events are not kept`);
  }
  return parsed.timestamp;
}

function isMember(name: string): boolean {
  switch (name) {
    case "id":
    case "user_id":
    case "event_type":
    case "amount":
    case "timestamp":
    case "properties":
      return true;
    default:
      return false;
  }
}

function unknownDetail(name: string): string {
  const shown = JSON.stringify(name.slice(0, SHOWN_NAME_CHARACTERS).toWellFormed());
  const plain = name.toLowerCase().replaceAll(/[^a-z]/g, "");
  const meant = MEMBERS.find((member) => member.replace("_", "") === plain);
  const hint = meant === undefined ? "" : ` (did you mean ${meant}?)`;
  return `An event has no member ${shown}${hint}: put it in properties`;
}

function isLongerThan(text: string, codePoints: number): boolean {
  if (text.length <= codePoints) return false;
  if (text.length > 2 * codePoints) return true;
  let count = 0;
  for (const _ of text) count++;
  return count > codePoints;
}
