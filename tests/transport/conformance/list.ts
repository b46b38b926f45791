/** Stored events out: by id, and in pages by timestamp. */
import { assertEquals, assertNotEquals } from "@std/assert";
import { assertRefused, type Client, type ListQuery, take } from "../clients.ts";
import { asSeen, type Behaviour, type Harness, iso, listAll, MINUTE, sale } from "./behaviour.ts";

const TYPES = ["purchase", "return", "refund", "exchange"];
const COUNT = 25;

/** Events of two users, several at the same time, stored in this order; and the order they are listed in, oldest first. */
async function store(harness: Harness): Promise<ReturnType<typeof sale>[]> {
  const events = Array.from({ length: COUNT }, (_, index) =>
    sale(harness, index, {
      userId: `${harness.label}-user${index % 5 === 0 ? "2" : ""}`,
      eventType: TYPES[index % 4]!,
      timestamp: iso(harness.day + (index * 7 % 5) * MINUTE),
      amount: String(index),
    }));
  assertEquals((await harness.client.publishBatch(events)).accepted, COUNT);
  // Sorting keeps the order of arrival among equal times.
  return events.toSorted((a, b) => a.timestamp < b.timestamp ? -1 : a.timestamp > b.timestamp ? 1 : 0);
}

/** What restricts a list to the case. */
function range({ day }: Harness): ListQuery {
  return { from: iso(day), to: iso(day + 5 * MINUTE) };
}

async function idsOf(client: Client, query: ListQuery): Promise<string[]> {
  return (await listAll(client, query)).map(({ id }) => id);
}

/** The cases. */
export const LIST: readonly Behaviour[] = [
  {
    name: "an id that was never stored is not found",
    run: async ({ client, label }) => {
      assertEquals(await client.get(`${label}-nothing`), null);
      assertEquals(await client.get("x".repeat(500)), null);
    },
  },
  {
    name: "a list is newest first, and its pages cover everything once, whatever their length",
    run: async (harness) => {
      const { client } = harness;
      const newestFirst = (await store(harness)).toReversed();
      for (const limit of [undefined, 1, 3, 7, COUNT, 1_000]) {
        assertEquals(await listAll(client, { ...range(harness), limit }), newestFirst.map(asSeen));
      }
    },
  },
  {
    name: "a list can be asked for oldest first",
    run: async (harness) => {
      const { client } = harness;
      const oldestFirst = (await store(harness)).map(({ id }) => id);
      for (const limit of [1, 4, 1_000]) {
        assertEquals(await idsOf(client, { ...range(harness), order: "asc", limit }), oldestFirst);
      }
      const { next } = await client.list({ ...range(harness), order: "asc", limit: 3 });
      const otherWay = { ...range(harness), order: "desc" as const, cursor: next! };
      await assertRefused(client, () => client.list(otherWay), "invalid_cursor");
    },
  },
  {
    name: "a list can be restricted by user, by types and by a half-open range of time",
    run: async (harness) => {
      const { client, label, day } = harness;
      const stored = (await store(harness)).toReversed();
      const expect = (keep: (event: ReturnType<typeof sale>) => boolean) => stored.filter(keep).map(({ id }) => id);
      const cases: [ListQuery, (event: ReturnType<typeof sale>) => boolean][] = [
        [{ userId: `${label}-user2` }, ({ userId }) => userId.endsWith("2")],
        [{ eventTypes: ["refund"] }, ({ eventType }) => eventType === "refund"],
        [{ eventTypes: ["refund", "return"] }, ({ eventType }) => eventType.startsWith("re")],
        [{ eventTypes: ["unknown"] }, () => false],
        [{ from: iso(day + MINUTE), to: iso(day + 2 * MINUTE) }, ({ timestamp }) => timestamp === iso(day + MINUTE)],
        [{ from: iso(day + MINUTE + 1), to: iso(day + 2 * MINUTE) }, () => false],
        [{ from: iso(day + MINUTE), to: iso(day + MINUTE) }, () => false],
        [
          { userId: `${label}-user2`, eventTypes: ["purchase"], from: iso(day + MINUTE) },
          ({ userId, eventType, timestamp }) =>
            userId.endsWith("2") && eventType === "purchase" && timestamp >= iso(day + MINUTE),
        ],
      ];
      for (const [query, keep] of cases) {
        for (const limit of [2, 1_000]) {
          const ids = await idsOf(client, { ...range(harness), ...query, limit });
          assertEquals(ids, expect(keep), JSON.stringify(query));
        }
      }
    },
  },
  {
    name: "a user that no event can have is refused, in a list and in a stream",
    run: async ({ client }) => {
      const users = [["", "too_short"], ["a\nb", "invalid_format"], ["c1\u0085", "invalid_format"], [
        "😀".repeat(257),
        "too_long",
      ]] as const;
      for (const [userId, code] of users) {
        const follow = async () => {
          await using live = await client.follow({ userId });
          await live.next();
        };
        for (const ask of [() => client.list({ userId }), follow]) {
          const { faults } = await assertRefused(client, ask, "invalid_argument");
          assertEquals(faults, [{ field: client.spelling.parameter("user_id"), code }], JSON.stringify(userId));
        }
      }
      assertEquals((await client.list({ userId: "😀".repeat(256) })).events, []);
    },
  },
  {
    name: "a page has 50 events unless asked otherwise, 1 to 1,000",
    run: async (harness) => {
      const { client } = harness;
      const events = Array.from({ length: 51 }, (_, index) => sale(harness, index));
      await client.publishBatch(events);
      const { events: page, next } = await client.list({ userId: events[0]!.userId });
      assertEquals([page.length, next === null], [50, false]);
      for (const limit of [0, -1, 1_001]) {
        const { faults } = await assertRefused(client, () => client.list({ limit }), "invalid_argument");
        assertEquals(faults.map(({ field }) => field), [client.spelling.parameter("limit")]);
      }
    },
  },
  {
    name: "a page of large events is shorter than asked for, and nothing is lost between pages",
    run: async (harness) => {
      const { client } = harness;
      const properties = { text: "x".repeat(15_000) };
      const events = Array.from({ length: 500 }, (_, index) => sale(harness, index, { properties }));
      for (let at = 0; at < events.length; at += 250) await client.publishBatch(events.slice(at, at + 250));
      const query = { userId: events[0]!.userId, limit: 500 };
      const { events: page, next } = await client.list(query);
      const bytes = JSON.stringify(page).length;
      assertEquals([page.length > 0, bytes < 3.6 * 1024 * 1024, next === null], [true, true, false], `${bytes} bytes`);
      const ids = (await listAll(client, query)).map(({ id }) => id);
      assertEquals(ids, events.map(({ id }) => id).toReversed());
    },
  },
  {
    name: "what is not a page cursor, is altered, or is one of a stream, is an invalid cursor",
    run: async (harness) => {
      const { client } = harness;
      await store(harness);
      const { next } = await client.list({ ...range(harness), limit: 2 });
      const altered = next!.slice(0, -3) + (next!.at(-3) === "a" ? "b" : "a") + next!.slice(-2);
      assertNotEquals(altered, next);
      for (
        const cursor of [
          "x",
          "!",
          next + "x",
          altered,
          await client.streamHead(),
          "2024-01-15T10:30:00Z",
          "x".repeat(600),
        ]
      ) {
        const list = () => client.list({ ...range(harness), cursor });
        const { faults } = await assertRefused(client, list, "invalid_cursor");
        assertEquals(faults.map(({ field }) => field), [client.spelling.parameter("cursor")]);
      }
    },
  },
  {
    name: "a page cursor is no place in a stream",
    run: async (harness) => {
      const { client } = harness;
      await store(harness);
      const { next } = await client.list({ ...range(harness), limit: 2 });
      const follow = async () => {
        await using live = await client.follow({ after: next! });
        await live.next();
      };
      await assertRefused(client, follow, "invalid_cursor");
    },
  },
  {
    name: "listing first and following then leaves no gap",
    run: async (harness) => {
      const { client, label } = harness;
      await client.publish(sale(harness, 0));
      const head = await client.streamHead();
      await client.publish(sale(harness, 1));
      const listed = await idsOf(client, { userId: `${label}-user` });
      await client.publish(sale(harness, 2));
      await using live = await client.follow({ after: head, userId: `${label}-user` });
      const followed = (await take(live, "event", 2)).map(({ event }) => event.id);
      assertEquals(listed, [sale(harness, 1).id, sale(harness, 0).id]);
      assertEquals(followed, [sale(harness, 1).id, sale(harness, 2).id]);
    },
  },
];
