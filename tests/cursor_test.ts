/** Cursors: what goes in comes out, and whatever else is given is noticed. */
import { assert, assertEquals, assertMatch, assertNotEquals, assertStringIncludes, assertThrows } from "@std/assert";
import fc from "fast-check";
import {
  checkOf,
  decodeLetterCursor,
  decodeLiveCursor,
  decodePageCursor,
  encodeLetterCursor,
  encodeLiveCursor,
  encodePageCursor,
} from "../src/cursor.ts";
import { HubError } from "../src/errors.ts";
import { CURSOR_CHARACTERS_MAX } from "../src/limits.ts";

const URL_SAFE = /^[A-Za-z0-9._~-]+$/;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._~-=+/ é";
const tenants = fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,62}$/);
const fields = fc.array(fc.stringMatching(/^[A-Za-z0-9_~-]{1,20}$/), { minLength: 1, maxLength: 5 });
const positions = fc.record({
  timestamp: fc.integer({ min: 0, max: 253_402_300_799_999 }),
  tie: fc.string({ unit: "grapheme", maxLength: 40 }).filter((tie) => tie.isWellFormed()),
}, { noNullPrototype: true });
const orders = fc.constantFrom("asc" as const, "desc" as const);

function refusal(run: () => unknown): string {
  const error = assertThrows(run, HubError);
  assertEquals(error.code, "invalid_cursor");
  return error.message;
}

Deno.test("cursor: positions and fields come back, in characters that need no escape", () => {
  fc.assert(fc.property(tenants, orders, positions, (tenant, order, position) => {
    const cursor = encodePageCursor(tenant, order, position);
    assertMatch(cursor, URL_SAFE);
    assertEquals(decodePageCursor(tenant, order, cursor), position);
  }));
  fc.assert(fc.property(tenants, fields, (tenant, fields) => {
    const cursor = encodeLiveCursor(tenant, fields);
    assertMatch(cursor, URL_SAFE);
    assertEquals(decodeLiveCursor(tenant, cursor), fields);
    const place = fields.join("_");
    assertEquals(decodeLetterCursor(tenant, encodeLetterCursor(tenant, place)), place);
  }));
});

Deno.test("cursor: each single altered, missing or added character is noticed", () => {
  const page = encodePageCursor("default", "desc", { timestamp: 1_752_582_896_789, tie: "00000000000000000042" });
  const live = encodeLiveCursor("default", ["epoch1", "zz42", "1x2y3z"]);
  const letters = encodeLetterCursor("default", "6876f2a0c1d2e3f405162738");
  for (
    const [cursor, decode] of [
      [page, (text: string) => decodePageCursor("default", "desc", text)],
      [live, (text: string) => decodeLiveCursor("default", text)],
      [letters, (text: string) => decodeLetterCursor("default", text)],
    ] as const
  ) {
    decode(cursor);
    for (let at = 0; at < cursor.length; at++) {
      refusal(() => decode(cursor.slice(0, at) + cursor.slice(at + 1)));
      refusal(() => decode(cursor.slice(0, at)));
      for (const character of ALPHABET) {
        if (character !== cursor[at]) refusal(() => decode(cursor.slice(0, at) + character + cursor.slice(at + 1)));
        refusal(() => decode(cursor.slice(0, at) + character + cursor.slice(at)));
      }
    }
  }
});

Deno.test("cursor: any altered character of any cursor is noticed", () => {
  fc.assert(
    fc.property(tenants, fields, fc.nat(), fc.constantFrom(...ALPHABET), (tenant, fields, place, character) => {
      const cursor = encodeLiveCursor(tenant, fields);
      const at = place % cursor.length;
      if (character === cursor[at]) return;
      refusal(() => decodeLiveCursor(tenant, cursor.slice(0, at) + character + cursor.slice(at + 1)));
    }),
  );
});

Deno.test("cursor: the other kind, another order and another tenant are named", () => {
  const page = encodePageCursor("default", "desc", { timestamp: 1, tie: "a" });
  const live = encodeLiveCursor("default", ["e", "1", "c"]);
  assertStringIncludes(refusal(() => decodePageCursor("default", "desc", live)), "one of a stream");
  assertStringIncludes(refusal(() => decodeLiveCursor("default", page)), "one of a list of events");
  const letters = encodeLetterCursor("default", "5");
  assertStringIncludes(refusal(() => decodePageCursor("default", "desc", letters)), "one of a list of dead letters");
  assertStringIncludes(refusal(() => decodeLetterCursor("default", page)), "wanted is a next_cursor of a list of dead");
  assertStringIncludes(refusal(() => decodeLetterCursor("default", live)), "one of a stream");
  assertStringIncludes(refusal(() => decodeLetterCursor("other", letters)), "another tenant");
  assertStringIncludes(refusal(() => decodePageCursor("default", "asc", page)), "order=asc");
  assertStringIncludes(refusal(() => decodePageCursor("other", "desc", page)), "another tenant");
  assertStringIncludes(refusal(() => decodeLiveCursor("other", live)), "another tenant");
});

Deno.test("cursor: what is no cursor is refused, however long", () => {
  for (const text of ["", ".", "..", "l", "latest", "0", "\u0000", "l..", "p1.a.1.ra.", "x".repeat(10_000_000)]) {
    refusal(() => decodeLiveCursor("default", text));
    refusal(() => decodePageCursor("default", "desc", text));
    refusal(() => decodeLetterCursor("default", text));
  }
  fc.assert(fc.property(fc.string({ maxLength: 60 }), (text) => {
    refusal(() => decodeLiveCursor("default", text));
    refusal(() => decodePageCursor("default", "desc", text));
    refusal(() => decodeLetterCursor("default", text));
  }));
});

Deno.test("cursor: the longest place fits", () => {
  const cursor = encodePageCursor("default", "desc", { timestamp: 253_402_300_799_999, tie: "ä".repeat(128) });
  assert(cursor.length <= CURSOR_CHARACTERS_MAX);
  assertEquals(decodePageCursor("default", "desc", cursor).tie, "ä".repeat(128));
});

Deno.test("cursor: the check is FNV-1a, and no single altered character keeps it", () => {
  assertEquals(checkOf(""), (0x811c9dc5).toString(36));
  assertEquals(checkOf("a"), (0xe40c292c).toString(36));
  assertEquals(checkOf("foobar"), (0xbf9cf968).toString(36));
  fc.assert(fc.property(fc.string({ minLength: 1 }), fc.nat(), fc.nat({ max: 0xffff }), (text, place, unit) => {
    const at = place % text.length;
    if (text.charCodeAt(at) === unit) return;
    assertNotEquals(checkOf(text.slice(0, at) + String.fromCharCode(unit) + text.slice(at + 1)), checkOf(text));
  }));
});
