/** Many events at once, a result for each. */
import { assertEquals, assertMatch } from "@std/assert";
import { assertRefused } from "../clients.ts";
import { type Behaviour, listAll, sale, UUID_V7 } from "./behaviour.ts";

const BATCH_EVENTS_MAX = 10_000;
const BATCH_FIELD_ERRORS_MAX = 4_096;

/** The cases. */
export const BATCH: readonly Behaviour[] = [
  {
    name: "one bad event among good ones harms no other",
    run: async (harness) => {
      const { client } = harness;
      const events = Array.from({ length: 10 }, (_, index) => sale(harness, index));
      const sent = events.map((event, index) => index === 4 ? { ...event, amount: "1e999" } : event);
      const { results, ...counts } = await client.publishBatch(sent);
      assertEquals(counts, { accepted: 9, duplicates: 0, rejected: 1, retryable: 0 });
      assertEquals(
        results.map(({ index, id, status }) => ({ index, id, status })),
        events.map(({ id }, index) => ({ index, id, status: index === 4 ? "invalid" : "stored" })),
      );
      assertEquals(results[4]!.faults.map(({ field }) => field), [client.spelling.batchMember("amount")]);
      const stored = await listAll(client, { userId: `${harness.label}-user` });
      assertEquals(stored.map(({ id }) => id), events.map(({ id }) => id).toReversed().toSpliced(5, 1));
    },
  },
  {
    name: "copies within a batch: the first is stored, an equal one a duplicate, another one a conflict",
    run: async (harness) => {
      const { client } = harness;
      const event = sale(harness, 0);
      const { results, ...counts } = await client.publishBatch([
        event,
        event,
        { ...event, amount: "1" },
        sale(harness, 1),
      ]);
      assertEquals(counts, { accepted: 2, duplicates: 1, rejected: 1, retryable: 0 });
      assertEquals(results.map(({ status }) => status), ["stored", "duplicate", "conflict", "stored"]);
      const again = await client.publishBatch([event, sale(harness, 1)]);
      assertEquals(again.results.map(({ status }) => status), ["duplicate", "duplicate"]);
      assertEquals((await client.get(event.id))!.amount, event.amount);
    },
  },
  {
    name: "an empty batch is taken, and has no results",
    run: async ({ client }) => {
      const none = { accepted: 0, duplicates: 0, rejected: 0, retryable: 0, results: [] };
      assertEquals(await client.publishBatch([]), none);
    },
  },
  {
    name: "events without ids are given different ones, and can be read by them",
    run: async (harness) => {
      const { client } = harness;
      const { id: _id, ...event } = sale(harness, 0);
      const { results } = await client.publishBatch([event, event, event]);
      for (const { id, status } of results) {
        assertMatch(id!, UUID_V7);
        assertEquals(status, "stored");
        assertEquals((await client.get(id!))!.userId, event.userId);
      }
      assertEquals(new Set(results.map(({ id }) => id)).size, 3);
    },
  },
  {
    name: "an invalid event without an id has none in its result",
    run: async (harness) => {
      const { client } = harness;
      const { id: _id, ...event } = sale(harness, 0, { amount: "x" });
      const { results } = await client.publishBatch([event]);
      assertEquals(results.map(({ id, status }) => [id, status]), [[null, "invalid"]]);
    },
  },
  {
    name: "a batch with very many faults tells all of the first events, and the first of each further one",
    run: async (harness) => {
      const { client } = harness;
      const faulty = { id: "a b", eventType: "", properties: { $a: 1, $b: 2 } };
      const { rejected, results } = await client.publishBatch(Array.from({ length: BATCH_EVENTS_MAX }, () => faulty));
      assertEquals([rejected, results.length], [BATCH_EVENTS_MAX, BATCH_EVENTS_MAX]);
      const told = results.map(({ faults }) => faults.length);
      assertEquals([told[0], told.at(-1)], [6, 1]);
      const further = told.filter((count) => count === 1).length;
      const all = told.reduce((sum, count) => sum + count, 0);
      assertEquals(all - further <= BATCH_FIELD_ERRORS_MAX, true, `${all} faults`);
    },
  },
  {
    name: "10,000 events are taken; with one more nothing is stored",
    run: async (harness) => {
      const { client, label } = harness;
      const event = {
        userId: `${label}-user`,
        eventType: "purchase",
        amount: "1",
        timestamp: sale(harness, 0).timestamp,
      };
      const many = Array.from({ length: BATCH_EVENTS_MAX + 1 }, (_, index) => ({ ...event, id: `${label}-${index}` }));
      await assertRefused(client, () => client.publishBatch(many), "payload_too_large");
      assertEquals((await client.list({ userId: event.userId })).events, []);
      const { results, ...counts } = await client.publishBatch(many.slice(1));
      assertEquals(counts, { accepted: BATCH_EVENTS_MAX, duplicates: 0, rejected: 0, retryable: 0 });
      assertEquals(results.every(({ id, index }) => id === many[index + 1]!.id), true);
    },
  },
];
