/**
 * Opaque cursors. Page cursors name a place in a list, live cursors a place in a log; each carries its kind, a check of
 * its tenant and a checksum, so that a wrong kind, another tenant's or an altered one is noticed as `invalid_cursor`.
 */
import type { PagePosition } from "./storage.ts";

/** A short check (FNV-1a, 32 bit, base 36) that a text is what it was; not a signature. */
export function checkOf(_text: string): string {
  throw new Error("unwritten");
}

/** A page cursor of a tenant for a list of that order. */
export function encodePageCursor(_tenant: string, _order: "asc" | "desc", _position: PagePosition): string {
  throw new Error("unwritten");
}

/** Reads a page cursor; throws `HubError` `invalid_cursor` that says what was given instead. */
export function decodePageCursor(_tenant: string, _order: "asc" | "desc", _text: string): PagePosition {
  throw new Error("unwritten");
}

/** A live cursor of a tenant: the driver's own fields (none may contain a dot), sealed with kind, tenant and checksum. */
export function encodeLiveCursor(_tenant: string, _fields: readonly string[]): string {
  throw new Error("unwritten");
}

/** Reads a live cursor back into the driver's fields; throws `HubError` `invalid_cursor`. */
export function decodeLiveCursor(_tenant: string, _text: string): string[] {
  throw new Error("unwritten");
}
