/** Ids the hub gives: UUIDv7 that only grow. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { createEventIds, newEventId } from "../src/event_id.ts";

const UUID_V7 = /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/;

function timeOf(id: string): number {
  return parseInt(id.slice(0, 8) + id.slice(9, 13), 16);
}

Deno.test("event id: is a UUIDv7 of now", () => {
  const before = Date.now();
  const id = newEventId();
  assertMatch(id, UUID_V7);
  assert(timeOf(id) >= before && timeOf(id) <= Date.now() + 1);
});

Deno.test("event id: 100,000 in one millisecond are unique and in order", () => {
  const next = createEventIds(() => 1_752_582_896_789);
  const ids = Array.from({ length: 100_000 }, next);
  assertEquals(ids.filter((id) => !UUID_V7.test(id)), []);
  assertEquals(new Set(ids).size, ids.length);
  for (let i = 1; i < ids.length; i++) assert(ids[i - 1]! < ids[i]!, `${ids[i - 1]} ${ids[i]}`);
  // A used-up counter borrows from the time ahead: at least 2,049 ids fit into each millisecond.
  assert(timeOf(ids[ids.length - 1]!) - 1_752_582_896_789 <= 100_000 / 2_049 + 1);
});

Deno.test("event id: a clock that goes back does not turn the order", () => {
  const clock = [1_000, 1_001, 500, 1_001, 1_002];
  const next = createEventIds(() => clock.shift() ?? 2_000);
  const ids = Array.from({ length: 6 }, next);
  assertEquals([...ids].sort(), ids);
  assertEquals(ids.map(timeOf), [1_000, 1_001, 1_001, 1_001, 1_002, 2_000]);
});

Deno.test("event id: two sources at the same time do not meet", () => {
  const ids = new Set<string>();
  for (let source = 0; source < 100; source++) {
    const next = createEventIds(() => 1_752_582_896_789);
    for (let i = 0; i < 100; i++) ids.add(next());
  }
  assertEquals(ids.size, 10_000);
});
