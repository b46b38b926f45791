/** The suite of the storage port must notice these faults; a suite that passes everything proves nothing. */
import type { Event } from "../../src/event.ts";
import type { AppendStatus, EventStore } from "../../src/storage.ts";
import { altered, type Fault, testFaults } from "../altered.ts";
import { STORE_CASES } from "./conformance.ts";
import { openMemory } from "./memory.ts";

/** Appends, and changes the answers. */
function answering(
  sound: EventStore,
  change: (status: AppendStatus, event: Event) => AppendStatus,
): EventStore["append"] {
  return async (events) => (await sound.append(events)).map((status, i) => change(status, events[i]!));
}

/** Appends something else than was sent. */
function sending(sound: EventStore, change: (event: Event) => Event): EventStore["append"] {
  return (events) => sound.append(events.map(change));
}

const APPEND_FAULTS: readonly Fault<EventStore>[] = [
  {
    name: "acknowledges some events without storing them",
    break: (sound) => ({
      append: async (events) => {
        const dropped = events.map((_, i) => events.length > 1 && i % 10 === 9);
        const statuses = [...await sound.append(events.filter((_, i) => !dropped[i]))];
        return dropped.map((is) => is ? "stored" : statuses.shift()!);
      },
    }),
    noticedBy: [
      "append: what is stored comes back as it was, in every field",
      "append: a batch of 10,000, then the same again",
      "list: random filters, limits and orders cover what matches exactly once",
      "count: random ranges, edges inside minutes, equal a plain computation",
    ],
  },
  {
    name: "counts a duplicate again",
    break: (sound) => {
      let repeated = 0;
      return {
        append: answering(sound, (status) => (repeated += status === "duplicate" ? 1 : 0, status)),
        count: async (range) => {
          const { count, sum } = await sound.count(range);
          return { count: count + repeated, sum };
        },
      };
    },
    noticedBy: [
      "append: a batch of 10,000, then the same again",
      "append: of equal ids in one call the first is the first copy",
      "append: of many clients racing with the same ids and two contents, one wins each id",
    ],
  },
  {
    name: "looks first and stores afterwards",
    break: (sound) => ({
      append: async (events) => {
        const known = await Promise.all(events.map((event) => sound.get(event.tenant, event.id)));
        await sound.append(events);
        return known.map((one, i) =>
          one === null ? "stored" : one.amount === events[i]!.amount ? "duplicate" : "conflict"
        );
      },
    }),
    noticedBy: [
      "append: of many clients racing with the same ids and two contents, one wins each id",
      "append: of equal ids in one call the first is the first copy",
    ],
  },
  {
    name: "takes other content for a duplicate",
    break: (sound) => ({ append: answering(sound, (status) => status === "conflict" ? "duplicate" : status) }),
    noticedBy: [
      "append: the same again is a duplicate, other content a conflict that changes nothing",
      "append: other content in any one field is a conflict",
      "append: random batches are answered as a model answers them",
      "erase: of an erased event only type, amount and a sent timestamp are compared",
    ],
  },
  {
    name: "compares timestamps that were never sent",
    break: (sound) => ({ append: sending(sound, (event) => ({ ...event, timestampGiven: true })) }),
    noticedBy: ["append: a retry without a timestamp is a duplicate, and the first copy stays as it was"],
  },
  {
    name: "compares properties as text",
    break: (sound) => ({
      append: sending(
        sound,
        (event) => ({ ...event, properties: event.properties && JSON.stringify({ text: event.properties }) }),
      ),
      get: async (tenant, id) => {
        const event = await sound.get(tenant, id);
        return event?.properties ? { ...event, properties: JSON.parse(event.properties).text } : event;
      },
    }),
    noticedBy: ["append: content is compared by value, and what the hub adds is not compared"],
  },
  {
    name: "mixes tenants up",
    break: (sound) => ({ append: sending(sound, (event) => ({ ...event, tenant: "default" })) }),
    noticedBy: ["append: tenants are apart, also with equal ids"],
  },
  {
    name: "refuses a whole append for one type too many",
    break: (sound) => ({
      append: async (events) => {
        const statuses = await sound.append(events);
        return statuses.includes("too_many_event_types") ? events.map(() => "too_many_event_types") : statuses;
      },
    }),
    noticedBy: ["append: one type more than a tenant may have is refused, and only that"],
  },
];

const TWO_MILLION = "count: two million amounts of a billion in one cell neither overflow nor lose the smallest one";

/** Stores nothing, which is quick, and answers a sum as kept by `round`. */
function summing(round: (sum: bigint) => bigint): Partial<EventStore> {
  let [count, sum] = [0, 0n];
  return {
    append: (events) => {
      count += events.length;
      for (const event of events) sum = round(sum + BigInt(event.amount));
      return Promise.resolve(events.map(() => "stored"));
    },
    purge: () => Promise.resolve(0),
    count: () => Promise.resolve({ count, sum }),
  };
}

const SUM_FAULTS: readonly Fault<EventStore>[] = [
  { name: "keeps sums in 64 bits", break: () => summing((sum) => BigInt.asIntN(64, sum)), noticedBy: [TWO_MILLION] },
  { name: "keeps sums as doubles", break: () => summing((sum) => BigInt(Number(sum))), noticedBy: [TWO_MILLION] },
];

const QUERY_FAULTS: readonly Fault<EventStore>[] = [
  {
    name: "skips equal timestamps at the end of a page",
    break: (sound) => ({
      list: async (filter, page) => {
        const { events, ties, next } = await sound.list(filter, page);
        if (next === null) return { events, ties, next };
        const skipping = page.order === "asc" ? { timestamp: next.timestamp + 1, tie: "0" } : { ...next, tie: "0" };
        return { events, ties, next: skipping };
      },
    }),
    noticedBy: [
      "list: newest or oldest first, equal timestamps in order of arrival",
      "list: random filters, limits and orders cover what matches exactly once",
      "list: pages stay right while events come in before and behind",
    ],
  },
  {
    name: "takes the end of a range into it",
    break: (sound) => ({
      list: (filter, page) => sound.list(filter.to === undefined ? filter : { ...filter, to: filter.to + 1 }, page),
      count: (range) => sound.count({ ...range, to: range.to + 1 }),
    }),
    noticedBy: [
      "list: filters by user, types and a half-open range",
      "count: each edge is counted to the millisecond",
      "count: random ranges, edges inside minutes, equal a plain computation",
    ],
  },
  {
    name: "counts whole minutes only",
    break: (sound) => ({
      count: (range) => sound.count({ ...range, from: Math.floor(range.from / 60_000) * 60_000 }),
    }),
    noticedBy: [
      "count: each edge is counted to the millisecond",
      "count: random ranges, edges inside minutes, equal a plain computation",
    ],
  },
  {
    name: "rounds averages half up",
    break: (sound) => ({
      aggregate: async (query) =>
        (await sound.aggregate(query)).map((row) => {
          const [total, count] = [row.total, BigInt(row.count)];
          const shifted = 2n * total + count;
          const floor = shifted / (2n * count) - (shifted < 0n && shifted % (2n * count) !== 0n ? 1n : 0n);
          return { ...row, average: floor };
        }),
    }),
    noticedBy: ["aggregate: the average has four digits and rounds half to even"],
  },
  {
    name: "gives percentiles two per cent off",
    break: (sound) => ({
      aggregate: async (query) =>
        (await sound.aggregate(query)).map((row) => {
          const p95 = row.percentiles && Math.min(Math.round(row.percentiles.p95 * 1.02), row.max!);
          return p95 === null ? row : { ...row, percentiles: { ...row.percentiles!, p95 } };
        }),
    }),
    noticedBy: [
      "aggregate: percentiles merge over windows and types, and are absent unless asked for",
      "aggregate: percentiles are within 1 % of the nearest rank, small, negative and zero amounts too",
    ],
  },
  {
    name: "has days in UTC alone",
    break: (sound) => ({ aggregate: (query) => sound.aggregate({ ...query, zone: "UTC" }) }),
    noticedBy: ["aggregate: days follow their zone, also where clocks change and offsets are half hours"],
  },
  {
    name: "never finds a cell wrong",
    break: () => ({
      verify: () => Promise.resolve({ events: 120, cells: 120, differing: 0, differences: [], frozenMinutes: 0 }),
    }),
    noticedBy: [
      "verify: a wrong minute cell is found, and rebuild mends it",
      "verify: looks at its range, widened to hours, and at its tenant",
      "verify: counts all differences and tells the first hundred",
    ],
  },
  {
    name: "verifies instead of rebuilding",
    break: (sound) => ({ rebuild: (range) => sound.verify(range) }),
    noticedBy: ["verify: a wrong minute cell is found, and rebuild mends it"],
  },
];

const REMOVAL_FAULTS: readonly Fault<EventStore>[] = [
  {
    name: "takes purged events out of its cells",
    break: (sound) => {
      let purged = 0;
      return {
        purge: async (before) => {
          const count = await sound.purge(before);
          purged += count;
          return count;
        },
        count: async (range) => {
          const { count, sum } = await sound.count(range);
          return { count: count - purged, sum };
        },
      };
    },
    noticedBy: ["purge: cells stay, and count whole minutes as before", "purge: many events go in one call"],
  },
  {
    name: "takes purged events in again",
    break: (sound) => ({ append: answering(sound, (status) => status === "purged" ? "stored" : status) }),
    noticedBy: [
      "purge: an event not newer than one ever purged is refused, a newer one is stored",
      "purge: a purged id sent again is refused with its old time, and a new event with a newer one",
    ],
  },
  {
    name: "purges what was received at the border",
    break: (sound) => ({ purge: (before) => sound.purge(before + 1) }),
    noticedBy: ["purge: deletes what was received before a time, and says how much"],
  },
  {
    name: "erases nothing",
    break: () => ({ erase: () => Promise.resolve(40) }),
    noticedBy: ["erase: hides a user's events from get and list, and touches nobody else's"],
  },
  {
    name: "erases by hiding all events of the tenant",
    break: (sound) => {
      const erased = new Set<string>();
      return {
        erase: (tenant, userId) => {
          erased.add(tenant);
          return sound.erase(tenant, userId);
        },
        get: (tenant, id) => erased.has(tenant) ? Promise.resolve(null) : sound.get(tenant, id),
      };
    },
    noticedBy: ["erase: hides a user's events from get and list, and touches nobody else's"],
  },
  {
    name: "acknowledges after it was disposed",
    break: (sound) => ({ append: answering(sound, (status) => status === "unavailable" ? "stored" : status) }),
    noticedBy: ["dispose: twice is harmless, afterwards everything is unavailable and nothing hangs"],
  },
];

testFaults("a store", {
  cases: STORE_CASES,
  faults: [...APPEND_FAULTS, ...SUM_FAULTS, ...QUERY_FAULTS, ...REMOVAL_FAULTS],
  open: async (fault) => {
    const harness = await openMemory();
    return { ...harness, store: altered(harness.store, fault.break(harness.store)) };
  },
});
