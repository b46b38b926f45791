/** The publisher of one process, turn by turn. */
import { assertEquals } from "@std/assert";
import type { StoredEvent } from "../../src/publication.ts";
import type { RedisConnection } from "../../src/stream/redis_connection.ts";
import type { RedisEpochs } from "../../src/stream/redis_epochs.ts";
import { Publisher } from "../../src/stream/redis_publisher.ts";
import { RedisKeys } from "../../src/stream/redis_scripts.ts";
import { event } from "../storage/conformance/events.ts";

/** More turns than a batch takes from its answer to its end. */
const TURNS = 40;

/** Stores another event so many turns after the first was sent, and answers how many were sent. */
async function sentWhenStoredAfter(turns: number): Promise<number> {
  const heard: ((group: readonly StoredEvent[]) => void)[] = [];
  const store = () => heard[0]!([{ key: "acme:1", event: event(), pend: "f".repeat(24), pub: 1_000 }]);
  let sent = 0;
  const connection = {
    send: () => {
      sent += 1;
      if (sent === 1) void later();
      return Promise.resolve(["sent"]);
    },
  };
  const later = async () => {
    for (let i = 0; i < turns; i++) await null;
    store();
  };
  const source = {
    now: () => 1_000,
    watchStored: (listener: (group: readonly StoredEvent[]) => void) => {
      heard.push(listener);
      return () => {};
    },
    republishAt: () => Promise.resolve(),
    uncountedOf: () => Promise.resolve(new Set<string>()),
  };
  await using publisher = new Publisher({
    source,
    connection: connection as unknown as RedisConnection,
    epochs: { current: () => Promise.resolve({ marker: "m", runId: "r" }) } as unknown as RedisEpochs,
    keys: new RedisKeys("events"),
    entriesMax: 10,
  });
  store();
  // All turns are over when a timer runs.
  await new Promise((resolve) => setTimeout(resolve, 0));
  await publisher.whenIdle();
  return sent;
}

Deno.test("whenever something is stored, it is published at once", async () => {
  // The first run computes a digest, which takes longer than turns.
  for (let i = 0; i < 3; i++) await sentWhenStoredAfter(0);
  for (let turns = 0; turns < TURNS; turns++) assertEquals(await sentWhenStoredAfter(turns), 2, `after ${turns} turns`);
});
