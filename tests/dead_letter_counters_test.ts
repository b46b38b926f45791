/** Dead letters are counted by their reason, and lost ones too, so that somebody is told. */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { DeadLetter } from "../src/dead_letters.ts";
import { HubError } from "../src/errors.ts";
import { MemoryDeadLetters } from "../src/storage/memory_dead_letters.ts";
import { Metrics } from "../src/telemetry.ts";

function letter(id: string, code: DeadLetter["code"]): DeadLetter {
  return { id, tenant: "default", failedAt: 0, code, detail: "", errors: [], payload: "{}", userId: null };
}

Deno.test("dead letters: what is added is counted by its reason, what is dropped as lost, what fails not at all", async () => {
  const load = () => ({ subscribers: 0, windowSubscribers: 0, eventsInFlight: 0 });
  const metrics = new Metrics({ thread: "http", load });
  const inner = new MemoryDeadLetters({ lettersMax: 3 });
  const letters = metrics.deadLetters.counting(inner);
  assertStringIncludes(await metrics.text(), 'eventhub_dead_letters_dropped_total{thread="http"} 0\n');
  assertEquals(await letters.add([letter("1", "conflict"), letter("2", "malformed"), letter("3", "conflict")]), 0);
  assertEquals(await letters.add([letter("4", "internal"), letter("5", "conflict")]), 2);
  await inner[Symbol.asyncDispose]();
  assertEquals((await assertRejects(() => letters.add([letter("6", "internal")]), HubError)).code, "unavailable");
  const text = await metrics.text();
  for (
    const sample of [
      'eventhub_dead_letters_total{code="conflict",thread="http"} 3\n',
      'eventhub_dead_letters_total{code="malformed",thread="http"} 1\n',
      'eventhub_dead_letters_total{code="internal",thread="http"} 1\n',
      'eventhub_dead_letters_dropped_total{thread="http"} 2\n',
    ]
  ) assertStringIncludes(text, sample);
});
