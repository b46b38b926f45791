/** What was perhaps meant by a name that does not exist. */
import { assertEquals } from "@std/assert";
import { closestName } from "../src/spelling.ts";

Deno.test("spelling: a name a few letters away, or with the same words behind the first, is meant", () => {
  const known = ["HUB_HTTP_PORT", "HUB_HOST", "HUB_KAFKA_CA", "HUB_RETENTION"];
  const cases: [string, string | null][] = [
    ["HUB_PORT", "HUB_HTTP_PORT"],
    ["HUB_HOTS", "HUB_HOST"],
    ["HUB_RETENTON", "HUB_RETENTION"],
    ["HUB_HTTPPORT", "HUB_HTTP_PORT"],
    ["HUB_CA", null],
    ["HUB_ENTIRELY_OTHER", null],
  ];
  for (const [name, meant] of cases) assertEquals(closestName(name, known), meant, name);
});
