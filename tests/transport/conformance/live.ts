/** Live events: in order, each once, from any place, and with an end that says where to go on. */
import { assert, assertEquals } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import { assertRefused, type Client, type FollowQuery, type LiveItem, take } from "../clients.ts";
import { openClients, openLab } from "../served.ts";
import { asSeen, type Behaviour, type Harness, iso, labOf, sale } from "./behaviour.ts";

const KEEP_ALIVE_MS = 15_000;
const STALL_MS = 30_000;
/** More than the buffers between a hub and a client that reads nothing hold. */
const STALL_EVENTS = 1_200;
const STALL_BATCH_EVENTS = 100;
const LARGE = { text: "x".repeat(15_000) };

/** Opens a subscription and waits for its first item, so that a refusal shows. */
async function follow(client: Client, query: FollowQuery): Promise<void> {
  await using live = await client.follow(query);
  await live.next();
}

async function idsOf(client: Client, query: FollowQuery, count: number): Promise<string[]> {
  await using live = await client.follow(query);
  return (await take(live, "event", count)).map(({ event }) => event.id);
}

/** Resolves when the hub has so many subscribers. */
async function whenSubscribers(harness: Harness, count: number): Promise<void> {
  const { hub } = labOf(harness);
  while (hub.load.subscribers !== count) await new Promise((resolve) => setImmediate(resolve));
}

/** The last cursor of what came. */
function lastCursor(items: readonly LiveItem[]): string | undefined {
  return items.findLast((item) => item.kind === "event" || (item.kind === "alive" && item.cursor !== null))?.cursor ??
    undefined;
}

/** The cases. */
export const LIVE: readonly Behaviour[] = [
  {
    name: "events come as they were sent, in order, each once",
    run: async (harness) => {
      const { client } = harness;
      const head = await client.streamHead();
      await using live = await client.follow({ after: head });
      const events = Array.from({ length: 300 }, (_, i) => sale(harness, i, { properties: { i }, amount: `${i}.25` }));
      await client.publish(events[0]!);
      await client.publishBatch(events.slice(1, 200));
      for (const event of events.slice(200)) await client.publish(event);
      const items = await take(live, "event", events.length);
      assertEquals(items.map(({ event }) => event), events.map(asSeen));
      assertEquals(new Set(items.map(({ cursor }) => cursor)).size, events.length);
    },
  },
  {
    name: "a follower goes on behind any cursor it was given",
    run: async (harness) => {
      const { client } = harness;
      const head = await client.streamHead();
      const events = Array.from({ length: 6 }, (_, index) => sale(harness, index));
      await client.publishBatch(events);
      await using live = await client.follow({ after: head });
      const items = await take(live, "event", events.length);
      for (const [index, { cursor }] of items.slice(0, -1).entries()) {
        const ids = await idsOf(client, { after: cursor }, events.length - 1 - index);
        assertEquals(ids, events.slice(index + 1).map(({ id }) => id));
      }
      const end = items.at(-1)!.cursor;
      await using behind = await client.follow({ after: end });
      await client.publish(sale(harness, 6));
      assertEquals((await take(behind, "event", 1)).map(({ event }) => event.id), [sale(harness, 6).id]);
    },
  },
  {
    name: "a follower can be restricted to a user and to types",
    run: async (harness) => {
      const { client, label } = harness;
      const head = await client.streamHead();
      const events = Array.from({ length: 12 }, (_, index) =>
        sale(harness, index, {
          userId: `${label}-${index % 2 === 0 ? "even" : "odd"}`,
          eventType: ["purchase", "return", "refund"][index % 3]!,
        }));
      await client.publishBatch(events);
      const ids = (keep: (index: number) => boolean) => events.filter((_, index) => keep(index)).map(({ id }) => id);
      const even = { after: head, userId: `${label}-even` };
      assertEquals(await idsOf(client, even, 6), ids((index) => index % 2 === 0));
      const returns = { after: head, eventTypes: ["return", "refund"] };
      assertEquals(await idsOf(client, returns, 8), ids((index) => index % 3 !== 0));
      const both = { ...even, eventTypes: ["purchase"] };
      assertEquals(await idsOf(client, both, 2), ids((index) => index % 6 === 0));
    },
  },
  {
    name: "a follower can start at the oldest event kept",
    lab: "the oldest event is one of another case",
    run: async (harness) => {
      const { client } = harness;
      const events = Array.from({ length: 3 }, (_, index) => sale(harness, index));
      await client.publishBatch(events);
      assertEquals(await idsOf(client, { after: "earliest" }, 3), events.map(({ id }) => id));
    },
  },
  {
    name: "a follower can start at a time of receipt",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const { clock } = labOf(harness);
      await client.publish(sale(harness, 0));
      clock.advance(1_000);
      const then = clock.now();
      await client.publish(sale(harness, 1));
      clock.advance(1_000);
      await client.publish(sale(harness, 2));
      const behind = [sale(harness, 1).id, sale(harness, 2).id];
      assertEquals(await idsOf(client, { after: iso(then) }, 2), behind);
      assertEquals(await idsOf(client, { after: iso(then - 999).replace("Z", "+00:00") }, 2), behind);
    },
  },
  {
    name: "latest, which is also the default, gives only what comes from then on",
    lab: "whether the follower is there is asked of the hub",
    run: async (harness) => {
      const { client } = harness;
      await client.publish(sale(harness, 0));
      await using latest = await client.follow({ after: "latest" });
      await using plain = await client.follow({});
      const firsts = Promise.all([take(latest, "event", 1), take(plain, "event", 1)]);
      await whenSubscribers(harness, 2);
      await client.publish(sale(harness, 1));
      const ids = (await firsts).map(([item]) => item!.event.id);
      assertEquals(ids, [sale(harness, 1).id, sale(harness, 1).id]);
    },
  },
  {
    name: "what is no live cursor is refused",
    run: async ({ client }) => {
      const head = await client.streamHead();
      for (
        const after of ["nonsense", head.slice(0, -1), head + "0", `${head} `, "l1.2.3.4", "Latest", "x".repeat(600)]
      ) {
        const { faults } = await assertRefused(client, () => follow(client, { after }), "invalid_cursor");
        assertEquals(faults.map(({ field }) => field), [client.spelling.parameter("after")]);
      }
      for (const after of ["", "2024-02-30T00:00:00Z", "2024-01-15"]) {
        const { faults } = await assertRefused(client, () => follow(client, { after }), "invalid_argument");
        assertEquals(faults.map(({ field }) => field), [client.spelling.parameter("after")]);
      }
    },
  },
  {
    name: "a cursor of another database is a reset, and the stream goes on at the oldest event",
    lab: "there is another database",
    run: async (harness) => {
      const { client } = harness;
      await using other = await openLab();
      await using otherClients = await openClients(other);
      const foreign = await otherClients.rest.streamHead();
      const events = [sale(harness, 0), sale(harness, 1)];
      await client.publishBatch(events);
      await using live = await client.follow({ after: foreign });
      const [{ reason, mode, cursor }] = await take(live, "reset", 1) as [Extract<LiveItem, { kind: "reset" }>];
      assertEquals([reason, mode], ["epoch", "skip"]);
      assertEquals(await idsOf(client, { after: cursor }, 2), events.map(({ id }) => id));
    },
  },
  {
    name: "after a reset the same stream goes on",
    lab: "there is another database",
    run: async (harness) => {
      const { client } = harness;
      await using other = await openLab();
      await using otherClients = await openClients(other);
      await client.publish(sale(harness, 0));
      await using live = await client.follow({ after: await otherClients.rest.streamHead() });
      await take(live, "reset", 1);
      await client.publish(sale(harness, 1));
      const ids = (await take(live, "event", 2)).map(({ event }) => event.id);
      assertEquals(ids, [sale(harness, 0).id, sale(harness, 1).id]);
    },
  },
  {
    name: "silence is broken every 15 s by a cursor that has moved",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const { hub, clock } = labOf(harness);
      const head = await client.streamHead();
      await using live = await client.follow({ after: head, userId: "somebody-else" });
      assertEquals(await live.next(), { kind: "alive", cursor: head });
      const next = live.next();
      await client.publish(sale(harness, 0));
      await hub.whenSettled();
      clock.advance(KEEP_ALIVE_MS);
      await hub.tick();
      assertEquals(await next, { kind: "alive", cursor: await client.streamHead() });
    },
  },
  {
    name: "a follower that goes away is let go of",
    lab: "the hub is asked for its subscribers",
    run: async (harness) => {
      const { client } = harness;
      const head = await client.streamHead();
      await client.publish(sale(harness, 0));
      {
        await using live = await client.follow({ after: head });
        await take(live, "event", 1);
        await whenSubscribers(harness, 1);
      }
      await whenSubscribers(harness, 0);
    },
  },
  {
    name: "a follower that does not read is ended after 30 s, and goes on from its last cursor",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const { hub, clock } = labOf(harness);
      const head = await client.streamHead();
      await using live = await client.follow({ after: head });
      const [first] = await Promise.all([take(live, "event", 1), client.publish(sale(harness, 0))]);
      const ids = [sale(harness, 0).id];
      while (ids.length < STALL_EVENTS) {
        const batch = Array.from(
          { length: STALL_BATCH_EVENTS },
          (_, i) => sale(harness, ids.length + i, { properties: LARGE }),
        );
        await client.publishBatch(batch);
        ids.push(...batch.map(({ id }) => id));
      }
      while (hub.load.subscribers > 0) {
        clock.advance(STALL_MS + 1);
        await hub.tick();
        await new Promise((resolve) => setImmediate(resolve));
      }
      const items: LiveItem[] = [...first, ...await untilBroken(live)];
      const got = items.flatMap((item) => item.kind === "event" ? [item.event.id] : []);
      assertEquals(got, ids.slice(0, got.length));
      assert(got.length < ids.length, "The follower was not slow enough");
      const rest = await idsOf(client, { after: lastCursor(items) }, ids.length - got.length);
      assertEquals(rest, ids.slice(got.length));
    },
  },
  {
    name: "when the log cannot be read, a follower is told so with its cursor",
    lab: "the log fails on request",
    run: async (harness) => {
      let broken = false;
      await using lab = await openLab({
        wrapStream: (stream) => {
          const read = stream.read.bind(stream);
          stream.read = (options) =>
            broken ? Promise.reject(new HubError("unavailable", "The log cannot be reached")) : read(options);
          return stream;
        },
      });
      await using clients = await openClients(lab);
      const client = clients[harness.client.protocol];
      const head = await client.streamHead();
      await using live = await client.follow({ after: head });
      const [[item]] = await Promise.all([take(live, "event", 1), client.publish(sale(harness, 0))]);
      const next = endOf(live);
      broken = true;
      await client.publish(sale(harness, 1));
      const end = await next;
      assertEquals([end.reason.toLowerCase(), end.cursor], ["unavailable", item!.cursor]);
      broken = false;
      assertEquals(await idsOf(client, { after: end.cursor! }, 1), [sale(harness, 1).id]);
    },
  },
  {
    name: "rows of windows come first for the last two windows, then whenever one changes",
    lab: "the clock is the test's",
    run: async (harness) => {
      const { client } = harness;
      const { hub, clock } = labOf(harness);
      await client.publish(sale(harness, 0, { timestamp: iso(clock.now()), amount: "1.5" }));
      await hub.whenSettled();
      await using live = await client.followRows!({ byType: true, eventTypes: ["purchase"] });
      const first = await live.next();
      assertEquals([first.eventType, first.count, first.total, first.closed], ["purchase", 1, "1.5", false]);
      const next = live.next();
      await client.publish(sale(harness, 1, { timestamp: iso(clock.now()), amount: "2" }));
      await client.publish(sale(harness, 2, { timestamp: iso(clock.now()), eventType: "refund" }));
      clock.advance(1_000);
      await hub.whenSettled();
      const second = await next;
      assertEquals([second.start, second.count, second.total, second.revision], [first.start, 2, "3.5", 2]);
      assertEquals(Object.keys(second).sort(), Object.keys((await client.rows({}))[0]!).sort());
    },
  },
];

/** The end of a follower; what comes before is left out. */
async function endOf(live: { next(): Promise<LiveItem> }): Promise<Extract<LiveItem, { kind: "end" }>> {
  for (;;) {
    const item = await live.next();
    if (item.kind === "end") return item;
  }
}

/** What a follower still gets, until its end or until its connection breaks off. */
async function untilBroken(live: { next(): Promise<LiveItem> }): Promise<LiveItem[]> {
  const items: LiveItem[] = [];
  for (;;) {
    try {
      const item = await live.next();
      if (item.kind === "end") return items;
      items.push(item);
    } catch {
      return items;
    }
  }
}
