/**
 * Opaque cursors. Page cursors name a place in a list of events or of dead letters, live cursors a place in a log; each
 * carries its kind, a check of its tenant and a checksum, so that a wrong kind, another tenant's or an altered one is
 * noticed as `invalid_cursor`.
 *
 * Form: `<kind><check of tenant>.<fields, joined by dots>.<checksum>`, characters that need no escape in a URL.
 */
import { HubError } from "./errors.ts";
import { CURSOR_CHARACTERS_MAX } from "./limits.ts";
import type { PagePosition } from "./storage.ts";

type Kind = "page" | "live" | "letters";

/** What the cursors of a kind begin with, and what they are called in errors. */
const KINDS: Readonly<Record<Kind, { readonly letter: string; readonly of: string }>> = {
  page: { letter: "p", of: "a list of events" },
  live: { letter: "l", of: "a stream" },
  letters: { letter: "d", of: "a list of dead letters" },
};
const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;
const CURSOR_FORM = /^([pld])([0-9a-z]{1,7})\.(.*)\.([0-9a-z]{1,7})$/;
const SAFE = /^[A-Za-z0-9_~-]*$/;
/** Tenants whose beginnings of cursors are remembered. */
const TENANTS_REMEMBERED = 1_000;

/** The beginning of a tenant's cursors of one kind, and the state of the checksum behind it. */
interface Beginning {
  readonly text: string;
  readonly state: number;
}

const beginnings: Readonly<Record<Kind, Map<string, Beginning>>> = {
  page: new Map(),
  live: new Map(),
  letters: new Map(),
};

/** A short check (FNV-1a, 32 bit, base 36) that a text is what it was; not a signature. */
export function checkOf(text: string): string {
  return (fold(FNV_OFFSET, text) >>> 0).toString(36);
}

/** A page cursor of a tenant for a list of that order. */
export function encodePageCursor(tenant: string, order: "asc" | "desc", position: PagePosition): string {
  const tie = SAFE.test(position.tie) ? "r" + position.tie : "b" + toBase64Url(position.tie);
  return seal("page", tenant, (order === "asc" ? "a" : "d") + "." + position.timestamp.toString(36) + "." + tie);
}

/** Reads a page cursor; throws `HubError` `invalid_cursor` that says what was given instead. */
export function decodePageCursor(tenant: string, order: "asc" | "desc", text: string): PagePosition {
  const fields = open("page", tenant, text).split(".");
  const [orderLetter, time, tie] = fields;
  if (fields.length !== 3 || time === undefined || tie === undefined) {
    throw invalid("The cursor is not one of this hub");
  }
  if (orderLetter !== (order === "asc" ? "a" : "d")) {
    throw invalid(`The cursor belongs to a list in the other order; this one is asked for with order=${order}`);
  }
  const timestamp = parseInt(time, 36);
  if (!Number.isSafeInteger(timestamp)) throw invalid("The cursor is not one of this hub");
  return { timestamp, tie: tie.startsWith("b") ? fromBase64Url(tie.slice(1)) : tie.slice(1) };
}

/** A live cursor of a tenant: the driver's own fields (none may contain a dot), sealed with kind, tenant and checksum. */
export function encodeLiveCursor(tenant: string, fields: readonly string[]): string {
  return seal("live", tenant, fields.join("."));
}

/** Reads a live cursor back into the driver's fields; throws `HubError` `invalid_cursor`. */
export function decodeLiveCursor(tenant: string, text: string): string[] {
  return open("live", tenant, text).split(".");
}

/** A cursor of a tenant for its list of dead letters: the driver's own place, sealed like the others. */
export function encodeLetterCursor(tenant: string, place: string): string {
  return seal("letters", tenant, place);
}

/** Reads a cursor of dead letters back into the driver's place; throws `HubError` `invalid_cursor`. */
export function decodeLetterCursor(tenant: string, text: string): string {
  return open("letters", tenant, text);
}

function seal(kind: Kind, tenant: string, payload: string): string {
  const { text, state } = beginningOf(kind, tenant);
  return text + payload + "." + (fold(state, payload) >>> 0).toString(36);
}

/** The payload of a cursor that is whole, of the right kind and of the tenant. */
function open(kind: Kind, tenant: string, text: string): string {
  const wanted = kind === "live" ? "a cursor of a stream" : `a next_cursor of ${KINDS[kind].of}`;
  if (text.length > CURSOR_CHARACTERS_MAX) {
    throw invalid(`A cursor has at most ${CURSOR_CHARACTERS_MAX} characters; wanted is ${wanted}`);
  }
  const match = CURSOR_FORM.exec(text);
  if (match === null) throw invalid(`This is not a cursor; wanted is ${wanted}`);
  const [, letter = "", tenantCheck = "", payload = "", checksum = ""] = match;
  const state = fold(FNV_OFFSET, letter + tenantCheck + ".");
  if ((fold(state, payload) >>> 0).toString(36) !== checksum) {
    throw invalid(`The cursor was altered or cut on its way; wanted is ${wanted}`);
  }
  if (letter !== KINDS[kind].letter) {
    const given = Object.values(KINDS).find((each) => each.letter === letter)!;
    throw invalid(`This cursor is one of ${given.of}; wanted is ${wanted}`);
  }
  if (tenantCheck !== checkOf(tenant)) throw invalid("The cursor belongs to another tenant");
  return payload;
}

function beginningOf(kind: Kind, tenant: string): Beginning {
  const known = beginnings[kind];
  let beginning = known.get(tenant);
  if (beginning === undefined) {
    const text = KINDS[kind].letter + checkOf(tenant) + ".";
    beginning = { text, state: fold(FNV_OFFSET, text) };
    if (known.size >= TENANTS_REMEMBERED) known.clear();
    known.set(tenant, beginning);
  }
  return beginning;
}

/**
 * FNV-1a over code units. Each step is one-to-one in the state and in the unit, so that a text with one altered
 * character never has the same check.
 */
function fold(state: number, text: string): number {
  let hash = state;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), FNV_PRIME);
  return hash;
}

function toBase64Url(text: string): string {
  return new TextEncoder().encode(text).toBase64({ alphabet: "base64url", omitPadding: true });
}

function fromBase64Url(text: string): string {
  try {
    return new TextDecoder().decode(Uint8Array.fromBase64(text, { alphabet: "base64url" }));
  } catch (error) {
    throw new HubError("invalid_cursor", "The cursor is not one of this hub", { cause: error });
  }
}

function invalid(message: string): HubError {
  return new HubError("invalid_cursor", message);
}
