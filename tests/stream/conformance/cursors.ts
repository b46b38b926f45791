/** Cursors: they lead back to where they were given, and whatever cannot be followed is said. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { encodeLiveCursor, encodePageCursor } from "../../../src/cursor.ts";
import { HubError } from "../../../src/errors.ts";
import type { EventStream, Opened } from "../../../src/stream.ts";
import { event, events, idsOf, NOON, store, TENANT } from "../../storage/conformance/events.ts";
import type { StreamCase } from "../conformance.ts";
import { idsIn, placeAt, readAll } from "./reading.ts";

async function assertInvalid(stream: EventStream, cursor: string, tenant = TENANT): Promise<void> {
  const outcome = stream.open(tenant, { cursor }).then((opened) => JSON.stringify(opened), (error) => error);
  const error = await outcome;
  assert(error instanceof HubError && error.code === "invalid_cursor", `"${cursor}" of ${tenant} gave ${error}`);
}

/** Continuity is lost for a reason, and everything that is kept follows. */
async function assertReset(stream: EventStream, cursor: string, reason: string): Promise<Opened> {
  const opened = await stream.open(TENANT, { cursor });
  assertEquals(opened.reset?.reason, reason);
  const kept = await readAll(stream, { after: await placeAt(stream, "earliest") });
  assertEquals(idsIn(await readAll(stream, { after: opened.position })), idsIn(kept));
  return opened;
}

const FOLLOWED: readonly StreamCase[] = [
  {
    name: "cursor: leads back to every place, in every tenant",
    run: async ({ store: driver, stream }) => {
      const empty = await stream.head();
      const all = events(24, (i) => ({ tenant: i % 4 === 0 ? "other" : TENANT }));
      for (let i = 0; i < all.length; i += 3) await store(driver, all.slice(i, i + 3));
      const entries = await readAll(stream, { after: empty });
      const places = [empty, ...entries.map((entry) => entry.position)];
      for (const [i, position] of places.entries()) {
        for (const tenant of [TENANT, "other", "nobody"]) {
          const opened = await stream.open(tenant, { cursor: stream.cursor(tenant, position) });
          assertEquals(opened, { position, reset: null }, `place ${i} of ${tenant}`);
        }
        assertEquals(idsIn(await readAll(stream, { after: position })), idsOf(all.slice(i)));
      }
      const cursors = places.map((position) => stream.cursor(TENANT, position));
      assertEquals(new Set(cursors).size, cursors.length);
      assert(cursors.every((cursor) => /^[\x21-\x7e]+$/.test(cursor)), "a cursor does not fit into a header");
    },
  },
  {
    name: "cursor: of an erased event still leads on",
    run: async ({ store: driver, stream }) => {
      const all = events(6, (i) => ({ userId: i < 4 ? "ann" : "bob" }));
      await store(driver, all);
      const entries = await readAll(stream, { after: await placeAt(stream, "earliest") });
      const cursors = entries.map((entry) => stream.cursor(TENANT, entry.position));
      await driver.erase(TENANT, "ann");
      for (const cursor of cursors.slice(0, 4)) {
        const { position, reset } = await stream.open(TENANT, { cursor });
        assertEquals(reset, null);
        assertEquals(idsIn(await readAll(stream, { after: position })), idsOf(all.slice(4)));
      }
    },
  },
  {
    name: "cursor: right behind the last purged event nothing was missed",
    run: async ({ store: driver, stream }) => {
      await store(driver, events(3, () => ({ receivedAt: NOON })));
      const cursor = stream.cursor(TENANT, await stream.head());
      assertEquals(await driver.purge(NOON + 1), 3);
      assertEquals((await stream.open(TENANT, { cursor })).reset, null);
      const fresh = event({ receivedAt: NOON + 2, timestamp: NOON + 2 });
      await store(driver, [fresh]);
      const { position, reset } = await stream.open(TENANT, { cursor });
      assertEquals(reset, null);
      assertEquals(idsIn(await readAll(stream, { after: position })), [fresh.id]);
    },
  },
];

const REFUSED: readonly StreamCase[] = [
  {
    name: "cursor: of another tenant is invalid",
    run: async ({ store: driver, stream }) => {
      await store(driver, [event(), event({ tenant: "other" })]);
      const cursor = stream.cursor(TENANT, await stream.head());
      await assertInvalid(stream, cursor, "other");
      await assertInvalid(stream, cursor, "Default");
      await assertInvalid(stream, stream.cursor("other", await stream.head()));
    },
  },
  {
    name: "cursor: altered, cut or lengthened anywhere is invalid",
    run: async ({ store: driver, stream }) => {
      await store(driver, events(3));
      const cursor = stream.cursor(TENANT, await stream.head());
      for (let i = 0; i < cursor.length; i++) {
        const [before, own, after] = [cursor.slice(0, i), cursor[i]!, cursor.slice(i + 1)];
        const others = ["0", "1", "a", "z", "A", ".", "-", "_", "é", own.toUpperCase(), own.toLowerCase()];
        for (const other of [...others, String.fromCharCode(own.charCodeAt(0) ^ 1), "", own + own]) {
          if (other !== own) await assertInvalid(stream, before + other + after);
        }
        await assertInvalid(stream, before);
      }
      for (
        const text of [
          ` ${cursor}`,
          `${cursor} `,
          cursor + cursor,
          cursor + ".0",
          "0",
          "latest",
          "\0",
          "=".repeat(9_999),
        ]
      ) {
        await assertInvalid(stream, text);
      }
    },
  },
  {
    name: "cursor: of a list is invalid, and one of another kind of stream is noticed",
    run: async ({ store: driver, stream }) => {
      await store(driver, events(2));
      const { next } = await driver.list({ tenant: TENANT }, { limit: 1, order: "desc" });
      for (const order of ["asc", "desc"] as const) await assertInvalid(stream, encodePageCursor(TENANT, order, next!));
      for (const fields of [[""], ["x"], ["0", "0"], ["1", "1700000000000-0", "abc"], ["-1", "1e3", "0x1", "NaN"]]) {
        const opening = stream.open(TENANT, { cursor: encodeLiveCursor(TENANT, fields) });
        const outcome = await opening.then((opened) => opened.reset?.reason, (error) => (error as HubError).code);
        assert(outcome === "invalid_cursor" || outcome === "epoch", `${fields} gave ${outcome}`);
      }
    },
  },
];

const LOST: readonly StreamCase[] = [
  {
    name: "cursor: of another database is a reset to the oldest event kept",
    run: async (harness) => {
      await using other = await harness.another();
      const own = events(3);
      await store(harness.store, own);
      const empty = other.stream.cursor(TENANT, await other.stream.head());
      await store(other.store, own);
      const cursor = other.stream.cursor(TENANT, await other.stream.head());
      for (const foreign of [empty, cursor]) {
        const { position } = await assertReset(harness.stream, foreign, "epoch");
        assertEquals(idsIn(await readAll(harness.stream, { after: position })), idsOf(own));
      }
    },
  },
  {
    name: "cursor: from beyond the end of the log is a reset",
    run: async (harness) => {
      const { store: driver, stream } = harness;
      const first = stream.cursor(TENANT, await harness.ahead());
      await assertReset(stream, first, "future");
      const own = events(3);
      await store(driver, own);
      const cursor = stream.cursor(TENANT, await harness.ahead());
      const { position } = await assertReset(stream, cursor, "future");
      assertEquals(idsIn(await readAll(stream, { after: position })), idsOf(own));
    },
  },
  {
    name: "cursor: of a place where the log now has another event is a reset",
    run: async (harness) => {
      const { store: driver, stream } = harness;
      await store(driver, events(3));
      const entries = await readAll(stream, { after: await placeAt(stream, "earliest") });
      for (const { position } of entries) {
        await assertReset(stream, stream.cursor(TENANT, harness.elsewhere(position)), "epoch");
      }
    },
  },
  {
    name: "cursor: of a purged event is a reset that skips to the oldest event kept",
    run: async ({ store: driver, stream }) => {
      const empty = stream.cursor(TENANT, await stream.head());
      await store(driver, events(5, () => ({ receivedAt: NOON })));
      const entries = await readAll(stream, { after: await placeAt(stream, "earliest") });
      const cursors = entries.map((entry) => stream.cursor(TENANT, entry.position));
      const kept = events(2, () => ({ receivedAt: NOON + 1 }));
      await store(driver, kept);
      assertEquals(await driver.purge(NOON + 1), 5);
      for (const cursor of [empty, ...cursors.slice(0, 4)]) {
        const { position, reset } = await assertReset(stream, cursor, "expired");
        assertEquals(reset, { reason: "expired", mode: "skip" });
        assertEquals(idsIn(await readAll(stream, { after: position })), idsOf(kept));
        const next = stream.cursor(TENANT, position);
        assertEquals((await stream.open(TENANT, { cursor: next })).reset, null, "a reset leads to a reset");
      }
      const error = await assertRejects(() => stream.open("other", { cursor: cursors[0]! }), HubError);
      assertEquals(error.code, "invalid_cursor");
    },
  },
];

/** Cases of cursors. */
export const CURSOR_CASES: readonly StreamCase[] = [...FOLLOWED, ...REFUSED, ...LOST];
