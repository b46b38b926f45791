/** What the hub cannot do at the moment: told as errors to retry, with the id that makes the retry safe. */
import { assertEquals, assertMatch } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import type { AppendStatus } from "../../../src/storage.ts";
import { assertRefused, type Client, refusalOf } from "../clients.ts";
import { openClients, openLab } from "../served.ts";
import { asSeen, type Behaviour, type Harness, labOf, sale, UUID_V7 } from "./behaviour.ts";

const FAULTS_ON_REQUEST = "the store fails on request";
/** Events that may be in flight. */
const IN_FLIGHT_EVENTS = 50_000;
const BATCH_EVENTS = 10_000;

/** Everything that reads. */
function readings(client: Client): (() => Promise<unknown>)[] {
  const { aggregatedMetrics } = client;
  return [
    () => client.get("some-id"),
    () => client.list({}),
    () => client.rows({}),
    ...(aggregatedMetrics === undefined ? [] : [() => aggregatedMetrics(5)]),
  ];
}

/** An event that has no id. */
function nameless(harness: Harness) {
  const { id: _id, ...event } = sale(harness, 0);
  return event;
}

/** The cases. */
export const TROUBLE: readonly Behaviour[] = [
  {
    name: "an event not known to be stored is unavailable, and the retry with the id given is safe",
    lab: FAULTS_ON_REQUEST,
    run: async (harness) => {
      const { client } = harness;
      const { faults } = labOf(harness);
      const event = nameless(harness);
      faults.append = (events) => Promise.resolve(events.map(() => "unavailable"));
      const { id, retryAfter } = await assertRefused(client, () => client.publish(event), "unavailable");
      assertMatch(id ?? "", UUID_V7);
      assertEquals(retryAfter, true);
      faults.append = null;
      assertEquals(await client.publish({ ...event, id: id! }), { id: id!, duplicate: false });
      assertEquals(await client.publish({ ...event, id: id! }), { id: id!, duplicate: true });
    },
  },
  {
    name: "a lost answer of the store is unavailable, and the retry a duplicate",
    lab: FAULTS_ON_REQUEST,
    run: async (harness) => {
      const { client } = harness;
      const { faults, store } = labOf(harness);
      faults.append = async (events) => {
        faults.append = null;
        await store.append(events);
        return events.map(() => "unavailable");
      };
      const event = nameless(harness);
      const { id } = await assertRefused(client, () => client.publish(event), "unavailable");
      assertEquals(await client.publish({ ...event, id: id! }), { id: id!, duplicate: true });
      assertEquals(await client.get(id!), { ...asSeen(sale(harness, 0)), id: id! });
    },
  },
  {
    name: "what the store says of an event is told the same way for one and in a batch",
    lab: FAULTS_ON_REQUEST,
    run: async (harness) => {
      const { client } = harness;
      const { faults } = labOf(harness);
      const answers: AppendStatus[] = [
        "stored",
        "duplicate",
        "conflict",
        "too_many_event_types",
        "purged",
        "unavailable",
      ];
      const events = answers.map((_, index) => sale(harness, index));
      faults.append = (appended) => Promise.resolve(appended.map(({ id }) => answers[Number(id.split("-").at(-1))]!));
      const bad = { ...sale(harness, 9), amount: "x" };
      const { results, ...counts } = await client.publishBatch([...events, bad]);
      assertEquals(counts, { accepted: 1, duplicates: 1, rejected: 4, retryable: 1 });
      const { batchMember, member } = client.spelling;
      assertEquals(results.map(({ status, faults }) => [status, ...faults]), [
        ["stored"],
        ["duplicate"],
        ["conflict", { field: batchMember("id"), code: "mismatch" }],
        ["invalid", { field: batchMember("event_type"), code: "too_many_event_types" }],
        ["invalid", { field: batchMember("timestamp"), code: "too_old" }],
        ["unavailable"],
        ["invalid", { field: batchMember("amount"), code: "invalid_format" }],
      ]);
      assertEquals(await client.publish(events[0]!), { id: events[0]!.id, duplicate: false });
      assertEquals(await client.publish(events[1]!), { id: events[1]!.id, duplicate: true });
      const codes = ["conflict", "invalid_argument", "invalid_argument", "unavailable"] as const;
      const fields = [member("id"), member("event_type"), member("timestamp"), undefined];
      for (const [index, code] of codes.entries()) {
        const refusal = await assertRefused(client, () => client.publish(events[index + 2]!), code);
        assertEquals(refusal.faults[0]?.field, fields[index]);
      }
    },
  },
  {
    name: "a batch not known to be stored has an id for every event to retry with",
    lab: FAULTS_ON_REQUEST,
    run: async (harness) => {
      const { client } = harness;
      const { faults } = labOf(harness);
      const events = [sale(harness, 1), nameless(harness), nameless(harness)];
      faults.append = (appended) => Promise.resolve(appended.map(() => "unavailable"));
      const { results, ...counts } = await client.publishBatch(events);
      assertEquals(counts, { accepted: 0, duplicates: 0, rejected: 0, retryable: 3 });
      assertEquals(results.map(({ status }) => status), ["unavailable", "unavailable", "unavailable"]);
      assertEquals(new Set(results.map(({ id }) => id)).size, 3);
      faults.append = null;
      const again = await client.publishBatch(events.map((event, index) => ({ ...event, id: results[index]!.id! })));
      assertEquals(again.results.map(({ status }) => status), ["stored", "stored", "stored"]);
    },
  },
  {
    name: "storing that takes too long is answered in time, with the id given",
    lab: "the store hangs on request",
    run: async (harness) => {
      await using lab = await openLab({ requestTimeoutMs: 30 });
      await using clients = await openClients(lab);
      const client = clients[harness.client.protocol];
      const stuck = Promise.withResolvers<readonly AppendStatus[]>();
      lab.faults.append = () => stuck.promise;
      const { id, retryAfter } = await assertRefused(
        client,
        () => client.publish(nameless(harness)),
        "deadline_exceeded",
      );
      stuck.resolve(["unavailable"]);
      assertMatch(id ?? "", UUID_V7);
      assertEquals(retryAfter, true);
    },
  },
  {
    name: "an event too many in flight is overloaded",
    lab: "the store hangs on request",
    run: async (harness) => {
      const { client } = harness;
      const { faults, hub } = labOf(harness);
      const stuck = Promise.withResolvers<void>();
      faults.append = (events) => stuck.promise.then(() => events.map(() => "unavailable"));
      const event = { user_id: "u", event_type: "purchase", amount: 1 };
      const batch = Array.from({ length: BATCH_EVENTS }, () => event);
      const running = Array.from(
        { length: IN_FLIGHT_EVENTS / BATCH_EVENTS },
        () => hub.publishBatch(batch, { tenant: "default", source: "import" }),
      );
      try {
        const one = await assertRefused(client, () => client.publish(sale(harness, 0)), "overloaded");
        assertEquals(one.retryAfter, true);
        await assertRefused(client, () => client.publishBatch([sale(harness, 0)]), "overloaded");
      } finally {
        stuck.resolve();
        await Promise.all(running);
      }
      faults.append = null;
      assertEquals(await client.publish(sale(harness, 0)), { id: sale(harness, 0).id, duplicate: false });
    },
  },
  {
    name: "an unreachable store is an error of every question, never zeros",
    lab: FAULTS_ON_REQUEST,
    run: async (harness) => {
      const { client } = harness;
      const { faults } = labOf(harness);
      faults.read = new HubError("unavailable", "The database cannot be reached");
      for (const read of readings(client)) {
        const { retryAfter } = await assertRefused(client, read, "unavailable");
        assertEquals(retryAfter, true);
      }
    },
  },
  {
    name: "what the hub did not expect is internal, and tells nothing of itself",
    lab: FAULTS_ON_REQUEST,
    run: async (harness) => {
      const { client } = harness;
      const { faults } = labOf(harness);
      faults.read = new TypeError("the secret is 1234");
      for (const read of readings(client)) {
        const refusal = await assertRefused(client, read, "internal");
        assertEquals(refusal.message.includes("secret"), false);
        assertEquals(JSON.stringify(refusal).includes("secret"), false);
      }
      faults.read = null;
      assertEquals(await refusalOf(() => client.list({ limit: -1 })).then(({ name }) => name), "Refusal");
    },
  },
];
