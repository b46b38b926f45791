/** The memory store and its dead letters under the suites of their ports, and its bound. */
import { assertEquals } from "@std/assert";
import { MemoryStore } from "../../src/storage/memory.ts";
import { MemoryDeadLetters } from "../../src/storage/memory_dead_letters.ts";
import { testEventStore } from "./conformance.ts";
import { event, events } from "./conformance/events.ts";
import { LETTERS_MAX, testDeadLetters } from "./dead_letters_conformance.ts";
import { openMemory } from "./memory.ts";

testEventStore("memory", {
  open: openMemory,
  deviations: {
    "verify: a wrong hour cell is found, and rebuild mends it": "it has no hour cells: minutes are merged when asked",
    "reopen: everything that was answered is there, with its cells and its refusals": "nothing outlives the process",
  },
});

testDeadLetters("memory dead letters", {
  open: () => {
    const letters = new MemoryDeadLetters({ lettersMax: LETTERS_MAX });
    return Promise.resolve({ letters, [Symbol.asyncDispose]: () => letters[Symbol.asyncDispose]() });
  },
});

Deno.test("memory: a full store answers unavailable, still knows its duplicates, and takes events after a purge", async () => {
  await using store = new MemoryStore({ eventsMax: 3 });
  const all = events(4);
  assertEquals(await store.append(all), ["stored", "stored", "stored", "unavailable"]);
  assertEquals(await store.append(all), ["duplicate", "duplicate", "duplicate", "unavailable"]);
  assertEquals((await store.health()).ok, true);
  assertEquals(await store.purge(all[1]!.receivedAt), 1);
  assertEquals(await store.append([event({ timestamp: all[0]!.timestamp + 1 })]), ["stored"]);
});
