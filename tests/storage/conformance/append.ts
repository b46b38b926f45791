/** Append: each id once, and an answer for each event that says what became of it. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { type Event, parseEvent, sameContent } from "../../../src/event.ts";
import { BATCH_EVENTS_MAX, EVENT_TYPES_PER_TENANT_MAX } from "../../../src/limits.ts";
import type { AppendStatus } from "../../../src/storage.ts";
import type { StoreCase } from "../conformance.ts";
import {
  anyDetails,
  assertSameEvent,
  event,
  events,
  idsOf,
  MINUTE,
  NOON,
  ONE,
  store,
  tally,
  TENANT,
} from "./events.ts";
import { listAll } from "./model.ts";

/** Events at the edges of what the contract allows. */
function unusualEvents(): Event[] {
  return [
    event({ id: "a" }),
    event({ id: "AZaz09._:@~+=/-".padEnd(128, "x"), userId: "日".repeat(256), eventType: "T".padEnd(64, "-") }),
    event({ amount: 1_000_000_000 * ONE, source: "grpc" }),
    event({ amount: -1_000_000_000 * ONE, source: "graphql" }),
    event({ amount: 0, source: "import", timestampGiven: false }),
    event({ amount: 1, userId: "𝒳 \"quoted\" 'user' \\ %_?", source: "redis" }),
    event({ timestamp: 0, receivedAt: 0 }),
    event({ timestamp: Date.UTC(9999, 11, 31, 23, 59, 59, 999) }),
    event({
      properties: '{"a":{"b":[1,2.5,-0.001,1e300,null,true,"\\u0000\\u2028é\\"日"]},"":"empty key","__proto__":1}',
    }),
    event({ properties: JSON.stringify({ text: "x".repeat(16_000) }) }),
  ];
}

/** Appends a first copy and a second; answers what became of the second. */
async function resend(harness: { store: StoreCaseStore }, first: Event, second: Event): Promise<AppendStatus> {
  await store(harness.store, [first]);
  const [status] = await harness.store.append([second]);
  return status!;
}

type StoreCaseStore = Parameters<StoreCase["run"]>[0]["store"];

function parsed(input: Record<string, unknown>): Event {
  let ids = 0;
  const result = parseEvent(input, {
    tenant: TENANT,
    source: "rest",
    now: NOON,
    naiveZone: "UTC",
    maxFutureMs: 0,
    oldest: null,
    newId: () => `made-${ids += 1}`,
  });
  if (!result.ok) throw new Error(`Cannot parse the event of a case: ${JSON.stringify(result.errors)}`);
  return result.event;
}

const FIRST_COPIES: readonly StoreCase[] = [
  {
    name: "append: what is stored comes back as it was, in every field",
    run: async ({ store: driver }) => {
      const all = unusualEvents();
      await store(driver, all);
      for (const one of all) assertSameEvent(await driver.get(one.tenant, one.id), one);
      const found = await listAll(driver, { tenant: TENANT }, { limit: 3, order: "asc" });
      for (const one of found) assertSameEvent(one, all.find((other) => other.id === one.id)!);
      assertEquals(found.length, all.length);
      assertEquals(await driver.get(TENANT, "never stored"), null);
    },
  },
  {
    name: "append: nothing gives no answers",
    run: async ({ store: driver }) => assertEquals(await driver.append([]), []),
  },
  {
    name: "append: a batch of 10,000, then the same again",
    run: async (harness) => {
      const all = events(BATCH_EVENTS_MAX, (i) => ({ timestamp: NOON + (i * 7919) % (90 * MINUTE), amount: i }));
      await store(harness.store, all);
      assertEquals(tally(await harness.store.append(all)), { duplicate: BATCH_EVENTS_MAX });
      await harness.settle();
      const total = await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + 90 * MINUTE });
      assertEquals(total, {
        count: BATCH_EVENTS_MAX,
        sum: BigInt(BATCH_EVENTS_MAX) * BigInt(BATCH_EVENTS_MAX - 1) / 2n,
      });
    },
  },
  {
    name: "append: tenants are apart, also with equal ids",
    run: async ({ store: driver }) => {
      const [mine, yours] = [event({ id: "same" }), event({ id: "same", tenant: "other", amount: 5, userId: "else" })];
      await store(driver, [mine, yours]);
      assertSameEvent(await driver.get(TENANT, "same"), mine);
      assertSameEvent(await driver.get("other", "same"), yours);
      assertEquals(await driver.get("third", "same"), null);
      const listed = await listAll(driver, { tenant: "other" }, { limit: 10, order: "desc" });
      assertEquals(listed.map((one) => one.amount), [5]);
    },
  },
  {
    name: "append: one type more than a tenant may have is refused, and only that",
    run: async ({ store: driver }) => {
      const typed = (index: number, given: Partial<Event> = {}) => event({ eventType: `type-${index}`, ...given });
      const most = Array.from({ length: EVENT_TYPES_PER_TENANT_MAX - 1 }, (_, index) => typed(index));
      await store(driver, most);
      const last = EVENT_TYPES_PER_TENANT_MAX - 1;
      const mixed = [typed(last), typed(last + 1), typed(0), typed(last), typed(last + 1), most[3]!];
      const mixedStatuses = await driver.append(mixed);
      const refused = "too_many_event_types";
      assertEquals(mixedStatuses, ["stored", refused, "stored", "stored", refused, "duplicate"]);
      const later = [typed(last + 2), typed(last + 1, { tenant: "other" }), typed(7)];
      assertEquals(await driver.append(later), [refused, "stored", "stored"]);
      assertEquals(await driver.get(TENANT, mixed[1]!.id), null);
    },
  },
];

const RESENT: readonly StoreCase[] = [
  {
    name: "append: the same again is a duplicate, other content a conflict that changes nothing",
    run: async ({ store: driver }) => {
      const first = event();
      await store(driver, [first]);
      assertEquals(await driver.append([first]), ["duplicate"]);
      assertEquals(await driver.append([{ ...first, amount: first.amount + 1 }]), ["conflict"]);
      assertEquals(await driver.append([first]), ["duplicate"]);
      assertSameEvent(await driver.get(TENANT, first.id), first);
    },
  },
  {
    name: "append: of equal ids in one call the first is the first copy",
    run: async (harness) => {
      const [a, b] = [event({ id: "a" }), event({ id: "b" })];
      const answers = await harness.store.append([a, a, b, { ...a, userId: "else" }, a, { ...b, amount: 1 }, b]);
      assertEquals(answers, ["stored", "duplicate", "stored", "conflict", "duplicate", "conflict", "duplicate"]);
      assertSameEvent(await harness.store.get(TENANT, "a"), a);
      await harness.settle();
      const total = await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + MINUTE });
      assertEquals(total, { count: 2, sum: BigInt(a.amount + b.amount) });
    },
  },
  {
    name: "append: other content in any one field is a conflict",
    run: async ({ store: driver }) => {
      const changes: Record<string, [Partial<Event>, Partial<Event>]> = {
        user: [{ userId: "a" }, { userId: "A" }],
        type: [{ eventType: "purchase" }, { eventType: "return" }],
        amount: [{ amount: 1 }, { amount: -1 }],
        timestamp: [{ timestamp: NOON }, { timestamp: NOON + 1 }],
        "a property's value": [{ properties: '{"a":1}' }, { properties: '{"a":2}' }],
        "a property's type": [{ properties: '{"a":1}' }, { properties: '{"a":"1"}' }],
        "a property's null": [{ properties: '{"a":null}' }, { properties: '{"a":false}' }],
        "an order in an array": [{ properties: '{"a":[1,2]}' }, { properties: '{"a":[2,1]}' }],
        "a property more": [{ properties: '{"a":1}' }, { properties: '{"a":1,"b":null}' }],
        "properties at all": [{ properties: '{"a":1}' }, { properties: null }],
        "properties that were none": [{ properties: null }, { properties: '{"a":1}' }],
      };
      for (const [what, [one, other]] of Object.entries(changes)) {
        const first = event(one);
        const status = await resend({ store: driver }, first, { ...first, ...other });
        assertEquals(status, "conflict", what);
      }
    },
  },
  {
    name: "append: content is compared by value, and what the hub adds is not compared",
    run: async ({ store: driver }) => {
      const first = event({ properties: '{"a":1,"b":{"c":[1.0,"é"],"d":null}}' });
      const second = { ...first, properties: '{ "b": {"d":null, "c":[1,"\\u00e9"]}, "a": 1.0 }' };
      assertEquals(await resend({ store: driver }, first, second), "duplicate");
      assertEquals(await driver.append([{ ...first, receivedAt: NOON + 9_999, source: "grpc" }]), ["duplicate"]);
      const bare = parsed({ id: "bare", user_id: "u", event_type: "purchase", amount: 1 });
      const empty = parsed({ id: "bare", user_id: "u", event_type: "purchase", amount: "1.0", properties: {} });
      assertEquals(await resend({ store: driver }, bare, empty), "duplicate");
    },
  },
  {
    name: "append: a retry without a timestamp is a duplicate, and the first copy stays as it was",
    run: async ({ store: driver }) => {
      for (const [firstGiven, secondGiven] of [[false, false], [false, true], [true, false]] as const) {
        const first = event({ timestampGiven: firstGiven });
        const second = { ...first, timestampGiven: secondGiven, timestamp: first.timestamp + 3 * MINUTE };
        const answer = await resend({ store: driver }, first, second);
        assertEquals(answer, "duplicate", `sent with a timestamp: ${firstGiven}, then ${secondGiven}`);
        assertSameEvent(await driver.get(TENANT, first.id), first);
        assertEquals(await driver.append([{ ...second, amount: second.amount + 1 }]), ["conflict"]);
      }
    },
  },
];

const RACES: readonly StoreCase[] = [
  {
    name: "append: of many clients racing with the same ids and two contents, one wins each id",
    run: async (harness) => {
      const [clients, ids] = [32, 40];
      const copies = Array.from({ length: clients }, (_, client) => {
        const own = events(ids, (i) => ({ id: `raced-${i}`, amount: client % 2 === 0 ? i : -1 - i, receivedAt: NOON }));
        return [...own.slice(client), ...own.slice(0, client)];
      });
      const answers = await Promise.all(copies.map((own) => harness.store.append(own)));
      for (let i = 0; i < ids; i++) {
        const winner = await harness.store.get(TENANT, `raced-${i}`);
        let stored = 0;
        copies.forEach((own, client) => {
          const at = own.findIndex((one) => one.id === `raced-${i}`);
          const status = answers[client]![at]!;
          if (status === "stored") stored += 1;
          const isSame = own[at]!.amount === winner!.amount;
          assert(status === "conflict" ? !isSame : isSame, `raced-${i}: ${status} for ${own[at]!.amount}`);
        });
        assertEquals(stored, 1, `raced-${i}`);
      }
      await harness.settle();
      const total = await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + MINUTE });
      assertEquals(total.count, ids);
    },
  },
  {
    name: "append: random batches are answered as a model answers them",
    run: async ({ store: driver }) => {
      let runs = 0;
      const anyCopy = fc.record({
        id: fc.integer({ min: 0, max: 12 }),
        amount: fc.constantFrom(1, 2),
        timestamp: fc.constantFrom(NOON, NOON + 1),
        timestampGiven: fc.boolean(),
        properties: fc.constantFrom(null, '{"a":1,"b":2}', '{"b":2,"a":1}'),
      });
      const property = fc.asyncProperty(
        fc.array(fc.array(anyCopy, { maxLength: 12 }), { maxLength: 6 }),
        async (batches) => {
          const tenant = `model-${runs += 1}`;
          const known = new Map<string, Event>();
          for (const batch of batches) {
            const sent = batch.map((copy) => event({ ...copy, tenant, id: `id-${copy.id}` }));
            const expected = sent.map((one): AppendStatus => {
              const first = known.get(one.id);
              if (first) return sameContent(first, one) ? "duplicate" : "conflict";
              known.set(one.id, one);
              return "stored";
            });
            assertEquals(await driver.append(sent), expected);
          }
          const found = await listAll(driver, { tenant }, { limit: 5, order: "asc" });
          assertEquals(idsOf(found).sort(), [...known.keys()].sort());
          for (const one of found) assertSameEvent(one, known.get(one.id)!);
        },
      );
      await fc.assert(property, { numRuns: 40 });
    },
  },
  {
    name: "append: many small appends at once are all stored and counted",
    run: async (harness) => {
      const all = fc.sample(anyDetails(), { numRuns: 600, seed: 7 }).map((details) => event(details));
      const answers = await Promise.all(all.map((one) => harness.store.append([one])));
      assertEquals(tally(answers.flat()), { stored: all.length });
      await harness.settle();
      const total = await harness.store.count({ tenant: TENANT, from: NOON, to: NOON + 180 * MINUTE + 1 });
      assertEquals(total, { count: all.length, sum: all.reduce((sum, one) => sum + BigInt(one.amount), 0n) });
      const found = await listAll(harness.store, { tenant: TENANT }, { limit: 1_000, order: "asc" });
      assertEquals(idsOf(found).sort(), idsOf(all).sort());
    },
  },
];

/** Cases of append and get. */
export const APPEND_CASES: readonly StoreCase[] = [...FIRST_COPIES, ...RESENT, ...RACES];
