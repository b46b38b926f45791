/** What goes in over one protocol comes out over the others. */
import { assertEquals } from "@std/assert";
import { assertRefused, type Live, type LiveItem, type Protocol, take } from "../clients.ts";
import { asSeen, type Behaviour, listAll, sale, SHUTDOWN_REASONS } from "./behaviour.ts";

/** Where events go in, and where they are followed. */
const SENDERS = ["rest", "graphql", "grpc"] as const;
const FOLLOWERS = ["rest", "graphql", "graphql-ws", "grpc"] as const;

/** The cases. */
export const ACROSS: readonly Behaviour[] = [
  {
    name: "an event stored over one protocol is read, and is a duplicate or a conflict, over every other",
    run: async (harness) => {
      const { clients } = harness;
      for (const [index, sender] of SENDERS.entries()) {
        const event = sale(harness, index, {
          amount: "-0.1",
          timestamp: "2024-02-29T23:59:59.5+01:00",
          properties: { a: [1] },
        });
        await clients[sender].publish(event);
        for (const reader of SENDERS) {
          const client = clients[reader];
          const seen = { ...asSeen(event), timestamp: "2024-02-29T22:59:59.500Z" };
          assertEquals(await client.get(event.id), seen, `${sender} to ${reader}`);
          assertEquals(await client.publish(event), { id: event.id, duplicate: true });
          await assertRefused(client, () => client.publish({ ...event, amount: "0.1" }), "conflict");
        }
      }
    },
  },
  {
    name: "an event stored over any protocol arrives over all, in the same order and with the same cursors",
    run: async (harness) => {
      const { clients } = harness;
      const head = await clients.rest.streamHead();
      await using stack = new AsyncDisposableStack();
      const lives = [];
      for (const follower of FOLLOWERS) lives.push(stack.use(await clients[follower].follow({ after: head })));
      const events = SENDERS.flatMap((_, index) => [sale(harness, 2 * index), sale(harness, 2 * index + 1)]);
      for (const [index, sender] of SENDERS.entries()) {
        await clients[sender].publish(events[2 * index]!);
        await clients[sender].publishBatch([events[2 * index + 1]!]);
      }
      const [first, ...others] = await Promise.all(lives.map((live) => take(live, "event", events.length)));
      assertEquals(first!.map(({ event }) => event), events.map(asSeen));
      for (const items of others) assertEquals(items, first);
    },
  },
  {
    name: "a cursor of one protocol goes on in every other",
    run: async (harness) => {
      const { clients } = harness;
      const head = await clients.grpc.streamHead();
      const events = Array.from({ length: 5 }, (_, index) => sale(harness, index));
      await clients.graphql.publishBatch(events);
      let after = head;
      for (const [index, event] of events.entries()) {
        await using live = await clients[FOLLOWERS[index % FOLLOWERS.length]!].follow({ after });
        const [item] = await take(live, "event", 1);
        assertEquals(item!.event.id, event.id);
        after = item!.cursor;
      }
      for (const sender of SENDERS) assertEquals(await clients[sender].streamHead(), after);
    },
  },
  {
    name: "a page cursor of one protocol goes on in every other",
    run: async (harness) => {
      const { clients } = harness;
      const events = Array.from({ length: 9 }, (_, index) => sale(harness, index));
      await clients.rest.publishBatch(events);
      const ids: string[] = [];
      let cursor: string | undefined;
      for (let page = 0; page < 3; page++) {
        const { events, next } = await clients[SENDERS[page]!].list({
          userId: `${harness.label}-user`,
          limit: 3,
          cursor,
        });
        ids.push(...events.map(({ id }) => id));
        cursor = next ?? undefined;
      }
      assertEquals(ids, events.map(({ id }) => id).toReversed());
      const lists = SENDERS.map((sender) => listAll(clients[sender], { userId: `${harness.label}-user`, limit: 2 }));
      const [rest, ...others] = await Promise.all(lists);
      for (const list of others) assertEquals(list, rest!);
    },
  },
];

/** The last case: there is no hub behind it. */
export const SHUTDOWN: Behaviour = {
  name: "a shutdown ends the followers of all protocols at the same cursor",
  run: async (harness) => {
    const { clients } = harness;
    const head = await clients.rest.streamHead();
    await using stack = new AsyncDisposableStack();
    const lives = new Map<Protocol, Live<LiveItem>>();
    for (const follower of FOLLOWERS) lives.set(follower, stack.use(await clients[follower].follow({ after: head })));
    await clients.rest.publish(sale(harness, 0));
    const firsts = await Promise.all([...lives.values()].map((live) => take(live, "event", 1)));
    const ends = [...lives].map(async ([protocol, live]) => [protocol, await nextButAlive(live)] as const);
    const [items] = await Promise.all([Promise.all(ends), harness.shutDown()]);
    const cursor = firsts[0]![0]!.cursor;
    assertEquals(
      items,
      FOLLOWERS.map((protocol) => [protocol, { kind: "end", reason: SHUTDOWN_REASONS[protocol], cursor }]),
    );
  },
};

async function nextButAlive(live: Live<LiveItem>): Promise<LiveItem> {
  for (;;) {
    const item = await live.next();
    if (item.kind !== "alive") return item;
  }
}
