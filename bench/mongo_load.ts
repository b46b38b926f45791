/**
 * The peer of the distributed profile: `insertMany` of the documents that the hub writes, into a collection with the
 * indexes of the hub, by the driver alone. A process of its own; its one argument is a {@link MongoLoad} in JSON, its
 * last line a {@link MongoLoadResult}.
 */
import { MongoClient } from "mongodb";
import type { Event } from "../src/event.ts";
import { createEventIds } from "../src/event_id.ts";
import { MongodbStore } from "../src/storage/mongodb.ts";
import { Arrivals } from "../src/storage/mongodb_arrivals.ts";
import { type EventDocument, toDocument } from "../src/storage/mongodb_documents.ts";
import { Slices } from "../src/storage/mongodb_slices.ts";
import { percentile } from "../tests/soak/options.ts";
import { typicalEvent } from "../tests/soak/typical_event.ts";

/** What to insert. */
export interface MongoLoad {
  readonly url: string;
  /** Commands at once. */
  readonly connections: number;
  readonly eventsPerCommand: number;
  readonly seconds: number;
}

/** What was inserted in the time. */
export interface MongoLoadResult {
  readonly events: number;
  readonly seconds: number;
  readonly p99Ms: number;
}

const TENANT = "default";
const newId = createEventIds();
const arrivals = new Arrivals();
const slices = new Slices();

function documentOf(index: number): EventDocument {
  const now = Date.now();
  const { user_id: userId, event_type: eventType, amount } = typicalEvent(index, { prefix: "" });
  const event: Event = {
    id: newId(),
    tenant: TENANT,
    userId,
    eventType,
    amount: Math.round(Number(amount) * 10_000),
    timestamp: now,
    timestampGiven: true,
    receivedAt: now,
    source: "rest",
    properties: null,
  };
  return toDocument(event, { pub: now, arrival: arrivals.next(now), slice: slices.of(event) });
}

async function play({ url, connections, eventsPerCommand, seconds }: MongoLoad): Promise<MongoLoadResult> {
  // The hub's own driver creates the indexes.
  await (await MongodbStore.open({ url }))[Symbol.asyncDispose]();
  await using client = new MongoClient(url, { writeConcern: { w: "majority", journal: true }, retryWrites: false });
  const events = client.db().collection<EventDocument>("events");
  const latencies: number[] = [];
  let inserted = 0;
  const startedAt = performance.now();
  const endsAt = startedAt + seconds * 1_000;
  await Promise.all(Array.from({ length: connections }, async () => {
    while (performance.now() < endsAt) {
      const documents = Array.from({ length: eventsPerCommand }, (_, line) => documentOf(inserted + line));
      const sentAt = performance.now();
      const { insertedCount } = await events.insertMany(documents, { ordered: false });
      latencies.push(performance.now() - sentAt);
      inserted += insertedCount;
    }
  }));
  return { events: inserted, seconds: (performance.now() - startedAt) / 1_000, p99Ms: percentile(latencies, 0.99) };
}

if (import.meta.main) console.log(JSON.stringify(await play(JSON.parse(Deno.args[0]!))));
