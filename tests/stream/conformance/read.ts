/** Open and read: where a reader starts, and that it gets every event once, in order. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import { heldBytes } from "../../../src/event.ts";
import { BATCH_EVENTS_MAX, LOG_PAGE_BYTES_MAX, LOG_PAGE_EVENTS } from "../../../src/limits.ts";
import { assertSameEvent, event, events, idsOf, NOON, store, TENANT } from "../../storage/conformance/events.ts";
import type { StreamCase } from "../conformance.ts";
import { idsIn, placeAt, readAll } from "./reading.ts";

const STARTS: readonly StreamCase[] = [
  {
    name: "open: the end of an empty log is its start",
    run: async ({ stream }) => {
      const head = await stream.head();
      assertEquals(await stream.open(TENANT, { at: "latest" }), { position: head, reset: null });
      assertEquals(await stream.open(TENANT, { at: "earliest" }), { position: head, reset: null });
      assertEquals(await stream.open(TENANT, { receivedAt: 0 }), { position: head, reset: null });
      assertEquals(await stream.read({ after: head, limit: 5 }), { entries: [], position: head, caughtUp: true });
    },
  },
  {
    name: "open: latest is behind everything stored, earliest before it",
    run: async ({ store: driver, stream }) => {
      const [before, after] = [events(3), events(2)];
      await store(driver, before);
      const latest = await placeAt(stream, "latest");
      assertEquals(latest, await stream.head());
      await store(driver, after);
      assertEquals(idsIn(await readAll(stream, { after: latest })), idsOf(after));
      const earliest = await placeAt(stream, "earliest");
      assertEquals(idsIn(await readAll(stream, { after: earliest })), idsOf([...before, ...after]));
      assert(earliest < latest && latest < await stream.head());
    },
  },
  {
    name: "open: a time of receipt starts at the first event received then or later",
    run: async ({ store: driver, stream }) => {
      const received = [10, 20, 20, 30];
      for (const [i, offset] of received.entries()) {
        await store(driver, [event({ id: `${i}`, receivedAt: NOON + offset, timestamp: NOON - i })]);
      }
      const expected = { 0: "0123", 10: "0123", 11: "123", 20: "123", 21: "3", 30: "3", 31: "" };
      for (const [offset, ids] of Object.entries(expected)) {
        const { position, reset } = await stream.open(TENANT, { receivedAt: NOON + Number(offset) });
        assertEquals(reset, null);
        assertEquals(idsIn(await readAll(stream, { after: position })).join(""), ids, `from ${offset}`);
      }
    },
  },
  {
    name: "open: after a purge, earliest and old times of receipt start at the oldest event kept",
    run: async ({ store: driver, stream }) => {
      await store(driver, events(5, () => ({ receivedAt: NOON })));
      const kept = events(3, (i) => ({ receivedAt: NOON + 1 + i }));
      await store(driver, kept);
      assertEquals(await driver.purge(NOON + 1), 5);
      for (const start of [{ at: "earliest" }, { receivedAt: NOON - 9 }, { receivedAt: NOON + 1 }] as const) {
        const { position, reset } = await stream.open(TENANT, start);
        assertEquals(reset, null);
        assertEquals(idsIn(await readAll(stream, { after: position })), idsOf(kept));
      }
    },
  },
];

const PAGES: readonly StreamCase[] = [
  {
    name: "read: the order of storing, whatever the page size, each event as it was sent",
    run: async ({ store: driver, stream }) => {
      const all = events(60, (i) => ({
        timestamp: NOON - (i * 7919) % 1_000,
        tenant: i % 3 === 0 ? "other" : TENANT,
        properties: i % 2 === 0 ? `{"i":${i}}` : null,
      }));
      for (const one of all) await store(driver, [one]);
      const after = await placeAt(stream, "earliest");
      for (const limit of [1, 2, 7, 59, 60, 61]) {
        const entries = await readAll(stream, { after, limit });
        assertEquals(idsIn(entries), idsOf(all), `by ${limit}`);
        entries.forEach((entry, i) => assertSameEvent(entry.event, all[i]!));
        const positions = entries.map((entry) => entry.position);
        assertEquals(positions.toSorted(), positions, "positions do not sort in the order of the log");
        assertEquals(new Set(positions).size, positions.length);
        assertEquals(positions.at(-1), await stream.head());
      }
    },
  },
  {
    name: "read: of a tenant only its own, however few they are among others",
    run: async ({ store: driver, stream }) => {
      const all = events(400, (i) => ({ tenant: i % 150 === 149 ? "rare" : TENANT }));
      for (let i = 0; i < all.length; i += 50) await store(driver, all.slice(i, i + 50));
      const after = await placeAt(stream, "earliest");
      for (const tenant of ["rare", TENANT, "nobody"]) {
        const own = all.filter((one) => one.tenant === tenant);
        for (const limit of [1, 3, 100]) {
          assertEquals(idsIn(await readAll(stream, { after, limit, tenant })), idsOf(own), `${tenant} by ${limit}`);
        }
      }
      const page = await stream.read({ after: await stream.head(), limit: 1, tenant: "rare" });
      assertEquals([page.entries, page.caughtUp], [[], true]);
    },
  },
  {
    name: "read: a large batch, in pages as the tail reads them",
    run: async ({ store: driver, stream }) => {
      const all = events(BATCH_EVENTS_MAX);
      await store(driver, all);
      const after = await placeAt(stream, "earliest");
      assertEquals(idsIn(await readAll(stream, { after, limit: LOG_PAGE_EVENTS })), idsOf(all));
    },
  },
  {
    name: "read: of large events a page holds fewer, at least one, and none is left out",
    run: async ({ store: driver, stream }) => {
      const properties = JSON.stringify({ text: "x".repeat(16_000) });
      const all = events(200, (i) => i % 3 === 0 ? {} : { properties });
      await store(driver, all);
      let after = await placeAt(stream, "earliest");
      const ids: string[] = [];
      for (let caughtUp = false; !caughtUp;) {
        const page = await stream.read({ after, limit: LOG_PAGE_EVENTS });
        const held = page.entries.reduce((sum, entry) => sum + heldBytes(entry.event), 0);
        assert(held <= 5 * LOG_PAGE_BYTES_MAX, `A page holds ${held} bytes`);
        assert(page.caughtUp || page.entries.length > 0, "A page that is not the last is empty");
        ids.push(...idsIn(page.entries));
        ({ position: after, caughtUp } = page);
      }
      assertEquals(ids, idsOf(all));
    },
  },
  {
    name: "read: duplicates, conflicts and refusals add nothing to the log",
    run: async ({ store: driver, stream }) => {
      const first = event();
      await store(driver, [first]);
      const head = await stream.head();
      await driver.append([first, { ...first, amount: 1 }, first]);
      assertEquals(await stream.head(), head);
      const second = event();
      await driver.append([first, second, second]);
      assertEquals(idsIn(await readAll(stream, { after: head })), [second.id]);
    },
  },
  {
    name: "read: erased events are left out, and the place moves on",
    run: async ({ store: driver, stream }) => {
      const after = await stream.head();
      const all = events(30, (i) => ({ userId: i % 3 === 1 ? "bob" : "ann" }));
      await store(driver, all);
      await driver.erase(TENANT, "ann");
      const left = idsOf(all.filter((one) => one.userId === "bob"));
      for (const limit of [1, 4, 100]) {
        assertEquals(idsIn(await readAll(stream, { after, limit })), left);
        assertEquals(idsIn(await readAll(stream, { after, limit, tenant: TENANT })), left);
      }
      await driver.erase(TENANT, "bob");
      const page = await stream.read({ after, limit: 100 });
      assertEquals(page, { entries: [], position: await stream.head(), caughtUp: true });
    },
  },
  {
    name: "read: a reader whom the purge overtakes is told so, and goes on at the oldest event kept",
    run: async ({ store: driver, stream }) => {
      const after = await stream.head();
      await store(driver, events(10, () => ({ receivedAt: NOON })));
      const { position } = await stream.read({ after, limit: 4 });
      const kept = events(2, () => ({ receivedAt: NOON + 1 }));
      await store(driver, kept);
      assertEquals(await driver.purge(NOON + 1), 10);
      const page = await stream.read({ after: position, limit: 100 });
      assertEquals(page.reset, { reason: "expired", mode: "skip" });
      assertEquals(idsIn(await readAll(stream, { after: position, limit: 1 })), idsOf(kept));
      const next = await stream.read({ after: page.position, limit: 100 });
      assertEquals([next.reset, next.caughtUp], [undefined, true]);
    },
  },
  {
    name: "read: an id that is purged and sent again is a new entry",
    run: async ({ store: driver, stream }) => {
      const first = event({ id: "again", receivedAt: NOON });
      await store(driver, [first]);
      const head = await stream.head();
      assertEquals(await driver.purge(NOON + 1), 1);
      assertEquals(await stream.head(), head, "purging moved the end of the log");
      const second = { ...first, timestamp: first.timestamp + 1, receivedAt: NOON + 2 };
      await store(driver, [second]);
      const entries = await readAll(stream, { after: head });
      assertEquals(idsIn(entries), ["again"]);
      assertSameEvent(entries[0]!.event, second);
      assert(entries[0]!.position > head, "a place was used twice");
    },
  },
  {
    name: "dispose: twice is harmless, afterwards everything is unavailable and nothing hangs",
    run: async ({ store: driver, stream }) => {
      await store(driver, events(2));
      const head = await stream.head();
      await Promise.all([stream[Symbol.asyncDispose](), stream[Symbol.asyncDispose]()]);
      await stream[Symbol.asyncDispose]();
      for (
        const call of [
          () => stream.head(),
          () => stream.open(TENANT, { at: "latest" }),
          () => stream.read({ after: head, limit: 1 }),
        ]
      ) {
        assertEquals((await assertRejects<HubError>(call, HubError)).code, "unavailable");
      }
      let calls = 0;
      const unwatch = stream.watch(() => calls += 1);
      await driver.append(events(1));
      unwatch();
      assertEquals(calls, 0);
    },
  },
];

/** Cases of open and read. */
export const READ_CASES: readonly StreamCase[] = [...STARTS, ...PAGES];
