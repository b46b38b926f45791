/** The suite of the port of dead letters: what every driver must do. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import type { DeadLetter, DeadLetters } from "../../src/dead_letters.ts";
import { HubError } from "../../src/errors.ts";
import { type Case, type Suite, testCases } from "../conformance.ts";

/** How many letters of a tenant the harness keeps. */
export const LETTERS_MAX = 20;

/** No letters yet, and at most {@link LETTERS_MAX} of a tenant. Disposing it disposes them. */
export interface DeadLettersHarness extends AsyncDisposable {
  readonly letters: DeadLetters;
}

const TENANT = "default";

function letter(id: string, given: Partial<DeadLetter> = {}): DeadLetter {
  return {
    id,
    tenant: TENANT,
    failedAt: 1_700_000_000_000,
    code: "invalid_argument",
    detail: "/amount: amount is required",
    errors: [{ pointer: "/amount", code: "required", detail: "amount is required" }],
    payload: '{"user_id":"ann"}',
    userId: "ann",
    ...given,
  };
}

function numbered(count: number, given: Partial<DeadLetter> = {}): DeadLetter[] {
  return Array.from({ length: count }, (_, i) => letter(`in:m:${i}-0`, given));
}

async function listAll(letters: DeadLetters, tenant: string, limit: number): Promise<DeadLetter[]> {
  const all: DeadLetter[] = [];
  let after: string | undefined;
  for (;;) {
    const page = await letters.list(tenant, { limit, after });
    assert(page.letters.length <= limit);
    all.push(...page.letters);
    if (page.next === null) return all;
    after = page.next;
  }
}

/** All behaviours. */
export const DEAD_LETTER_CASES: readonly Case<DeadLettersHarness>[] = [
  {
    name: "add: a letter is got as it was added, of its own tenant only",
    run: async ({ letters }) => {
      const odd = letter("in:m:1-0", { payload: '"{ü\\u0000\\"$"', userId: null, code: "malformed", errors: [] });
      const other = letter("in:m:1-0", { tenant: "other", failedAt: 1 });
      assertEquals(await letters.add([odd, other]), 0);
      assertEquals(await letters.get(TENANT, odd.id), odd);
      assertEquals(await letters.get("other", odd.id), other);
      assertEquals(await letters.get("nobody", odd.id), null);
      assertEquals(await letters.get(TENANT, "in:m:2-0"), null);
    },
  },
  {
    name: "add: again changes nothing, neither the letter nor the order",
    run: async ({ letters }) => {
      const all = numbered(5);
      await letters.add(all);
      assertEquals(await letters.add([{ ...all[0]!, failedAt: 9, detail: "other" }, all[3]!]), 0);
      assertEquals(await listAll(letters, TENANT, 10), all.toReversed());
      const twice = letter("in:m:twice");
      await letters.add([twice, { ...twice, detail: "second" }]);
      assertEquals(await letters.get(TENANT, twice.id), twice);
      assertEquals((await listAll(letters, TENANT, 10)).length, 6);
    },
  },
  {
    name: "list: newest first, whatever the page size, beside other tenants",
    run: async ({ letters }) => {
      const all = numbered(13);
      for (const one of all) await letters.add([one, { ...one, tenant: "other" }]);
      for (const limit of [1, 2, 12, 13, 14]) {
        assertEquals(await listAll(letters, TENANT, limit), all.toReversed(), `by ${limit}`);
      }
      assertEquals(await listAll(letters, "nobody", 3), []);
      const error = await assertRejects(() => letters.list(TENANT, { limit: 1, after: "no place" }), HubError);
      assertEquals(error.code, "invalid_cursor");
    },
  },
  {
    name: "list: goes on where it was although its place was deleted and newer ones came",
    run: async ({ letters }) => {
      const all = numbered(6);
      await letters.add(all);
      const { next } = await letters.list(TENANT, { limit: 2 });
      await letters.delete(TENANT, all[4]!.id);
      await letters.add([letter("in:m:new"), letter("in:m:newer")]);
      const rest = await letters.list(TENANT, { limit: 10, after: next! });
      assertEquals(rest, { letters: all.slice(0, 4).reverse(), next: null });
    },
  },
  {
    name: "delete: once, of its own tenant only; then it can be added anew",
    run: async ({ letters }) => {
      const one = letter("in:m:1-0");
      await letters.add([one, { ...one, tenant: "other" }]);
      assertEquals(await letters.delete("nobody", one.id), false);
      assertEquals(await letters.delete(TENANT, one.id), true);
      assertEquals(await letters.delete(TENANT, one.id), false);
      assertEquals(await letters.get(TENANT, one.id), null);
      assert(await letters.get("other", one.id) !== null);
      await letters.add([{ ...one, detail: "again" }]);
      assertEquals((await letters.get(TENANT, one.id))?.detail, "again");
    },
  },
  {
    name: "erase: takes the letters of a user, of that tenant only",
    run: async ({ letters }) => {
      const own = [letter("1"), letter("2", { userId: "bob" }), letter("3", { userId: null }), letter("4")];
      await letters.add([...own, letter("1", { tenant: "other" })]);
      assertEquals(await letters.erase(TENANT, "ann"), 2);
      assertEquals(await letters.erase(TENANT, "ann"), 0);
      assertEquals((await listAll(letters, TENANT, 10)).map(({ id }) => id), ["3", "2"]);
      assert(await letters.get("other", "1") !== null);
    },
  },
  {
    name: "bound: the oldest of a tenant are dropped and counted, the others stay",
    run: async ({ letters }) => {
      await letters.add([letter("in:m:0-0", { tenant: "other" })]);
      const all = numbered(LETTERS_MAX + 7);
      assertEquals(await letters.add(all.slice(0, LETTERS_MAX)), 0);
      assertEquals(await letters.add(all.slice(LETTERS_MAX)), 7);
      assertEquals(await listAll(letters, TENANT, 100), all.slice(7).reverse());
      assert(await letters.get("other", "in:m:0-0") !== null);
    },
  },
  {
    name: "dispose: twice is harmless, afterwards everything is unavailable",
    run: async ({ letters }) => {
      await letters[Symbol.asyncDispose]();
      await letters[Symbol.asyncDispose]();
      const calls: (() => Promise<unknown>)[] = [
        () => letters.add([letter("1")]),
        () => letters.list(TENANT, { limit: 1 }),
        () => letters.get(TENANT, "1"),
        () => letters.delete(TENANT, "1"),
        () => letters.erase(TENANT, "ann"),
      ];
      for (const call of calls) assertEquals((await assertRejects(call, HubError)).code, "unavailable");
    },
  },
];

/** Runs the suite on a driver. */
export function testDeadLetters(driver: string, suite: Suite<DeadLettersHarness>): void {
  testCases(driver, { cases: DEAD_LETTER_CASES, suite });
}
