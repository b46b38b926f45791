/** POST /events/batch. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { BATCH_EVENTS_MAX, NDJSON_LINE_BYTES_MAX } from "../../../src/limits.ts";
import type { IngestResult } from "../../../src/hub.ts";
import { type Answered, assertProblem, assertShape, EVENT, faults, openRest, withId } from "./rest_harness.ts";

const NDJSON = "application/x-ndjson";
const lines = (...values: unknown[]) => values.map((value) => JSON.stringify(value)).join("\n");

function counts({ json }: Answered): number[] {
  return [json.accepted, json.duplicates, json.rejected, json.retryable];
}

function statuses({ json }: Answered): string[] {
  return json.results.map((result: { index: number; line?: number; status: string }) =>
    [result.index, result.line, result.status].filter((each) => each !== undefined).join(" ")
  );
}

Deno.test("rest batch: an array and an object of events are the same", async () => {
  await using test = openRest();
  const array = await test.ask("/events/batch", { body: [withId("a"), withId("b")] });
  assertEquals(array.status, 200);
  assertShape("BatchResults", array.json);
  assertEquals(array.json, {
    accepted: 2,
    duplicates: 0,
    rejected: 0,
    retryable: 0,
    results: [{ index: 0, id: "a", status: "stored" }, { index: 1, id: "b", status: "stored" }],
  });
  const object = await test.ask("/events/batch", { body: { events: [withId("a"), withId("c")] } });
  assertEquals([object.status, ...counts(object)], [200, 1, 1, 0, 0]);
});

Deno.test("rest batch: an empty batch is a success", async () => {
  await using test = openRest();
  for (const [body, type] of [["[]", undefined], ['{"events":[]}', undefined], ["", NDJSON], ["\n \r\n\n", NDJSON]]) {
    const answered = await test.ask("/events/batch", { body, type });
    assertEquals([answered.status, ...counts(answered), answered.json.results], [200, 0, 0, 0, 0, []]);
  }
});

Deno.test("rest batch: one bad event harms no other, and is named with all its faults", async () => {
  await using test = openRest();
  await test.ask("/events", { body: withId("taken") });
  const body = [
    withId("a"),
    { user_id: 1, event_type: "purchase", amount: "1e3" },
    withId("taken"),
    withId("taken", { amount: 1 }),
    null,
  ];
  const answered = await test.ask("/events/batch", { body });
  assertEquals([answered.status, ...counts(answered)], [207, 1, 1, 3, 0]);
  assertShape("BatchResults", answered.json);
  assertEquals(statuses(answered), ["0 stored", "1 invalid", "2 duplicate", "3 conflict", "4 invalid"]);
  assertEquals(
    answered.json.results[1].errors.map((error: { pointer: string; code: string }) => `${error.pointer} ${error.code}`),
    ["/user_id invalid_type", "/amount invalid_format"],
  );
});

Deno.test("rest batch: none taken is 422 when nothing can be retried, a problem with the results", async () => {
  await using test = openRest();
  const answered = await test.ask("/events/batch", { body: [{}, 1] });
  assertProblem(answered, 422, "invalid_argument");
  assertShape("BatchProblem", answered.json);
  assertEquals(counts(answered), [0, 0, 2, 0]);
});

Deno.test("rest batch: none taken is 503 with Retry-After when some can be retried", async () => {
  const results: IngestResult[] = [{ status: "unavailable", id: "x" }, { status: "invalid", id: null, errors: [] }];
  await using test = openRest({ replace: { publishBatch: () => Promise.resolve(results) } });
  const answered = await test.ask("/events/batch", { body: [EVENT, 1] });
  assertProblem(answered, 503, "unavailable");
  assertShape("BatchProblem", answered.json);
  assertEquals([counts(answered), answered.headers.get("retry-after")], [[0, 0, 1, 1], "1"]);
  assertEquals(answered.json.results[0], { index: 0, id: "x", status: "unavailable" });
});

Deno.test("rest batch: some stored and some in doubt is 207", async () => {
  const results: IngestResult[] = [{ status: "unavailable", id: "x" }, { status: "stored", id: "y" }];
  await using test = openRest({ replace: { publishBatch: () => Promise.resolve(results) } });
  const answered = await test.ask("/events/batch", { body: [EVENT, EVENT] });
  assertEquals([answered.status, ...counts(answered)], [207, 1, 0, 0, 1]);
});

Deno.test("rest batch: verbose=false leaves out the results of stored events alone", async () => {
  await using test = openRest();
  const body = [withId("a"), withId("a"), {}];
  const answered = await test.ask("/events/batch?verbose=false", { body });
  assertEquals([answered.status, ...counts(answered)], [207, 1, 1, 1, 0]);
  assertEquals(statuses(answered), ["1 duplicate", "2 invalid"]);
  const wrong = await test.ask("/events/batch?verbose=no&dry=1", { body });
  assertEquals(faults(wrong), ["dry unknown_parameter", "verbose invalid_value"]);
});

Deno.test("rest batch: a small body does not become a huge answer, whatever is wrong in it", async () => {
  await using test = openRest();
  const names = Array.from({ length: 40 }, (_, n) => [`m${n}`, 1]);
  const faulty = Object.fromEntries(names);
  const cases: [string, unknown][] = [
    ["application/json", faulty],
    ["application/x-ndjson", faulty],
    ["application/cloudevents-batch+json", { data: faulty }],
    ["application/cloudevents-batch+json", { specversion: "1.0", id: "", source: "/s", data: { properties: faulty } }],
  ];
  for (const [type, event] of cases) {
    const events = Array.from({ length: BATCH_EVENTS_MAX }, () => event);
    const body = type === NDJSON ? lines(...events) : JSON.stringify(events);
    const answered = await test.ask("/events/batch", { body, type });
    assertEquals(counts(answered), [0, 0, BATCH_EVENTS_MAX, 0], type);
    assert(answered.text.length < 4_000_000, `${type}: ${answered.text.length} characters`);
    assert(answered.json.results.every(({ errors }: { errors: unknown[] }) => errors.length >= 1));
  }
});

Deno.test("rest batch: a body that is no batch is refused as a whole", async () => {
  await using test = openRest();
  const bad: [unknown, string[]][] = [
    ["null", [" invalid_type"]],
    ["1", [" invalid_type"]],
    [{}, ["/events required"]],
    [{ events: 1 }, ["/events invalid_type"]],
    [{ events: [], "a/b": 1 }, ["/a~1b unknown_field"]],
    [EVENT, [
      "/amount unknown_field",
      "/event_type unknown_field",
      "/events required",
      "/timestamp unknown_field",
      "/user_id unknown_field",
    ]],
  ];
  for (const [body, expected] of bad) {
    const answered = await test.ask("/events/batch", { body });
    assertProblem(answered, 422, "invalid_argument");
    assertEquals(faults(answered), expected);
  }
});

Deno.test("rest batch: NDJSON counts its lines from 1, skips blank ones, and needs no last line feed", async () => {
  await using test = openRest();
  const body = `\n${lines(withId("a"))}\r\n  \r\n{"id":\n${lines(withId("b"))}\n[1]\n${lines(withId("c"))}`;
  const answered = await test.ask("/events/batch", { body, type: NDJSON });
  assertEquals([answered.status, ...counts(answered)], [207, 3, 0, 2, 0]);
  assertShape("BatchResults", answered.json);
  assertEquals(statuses(answered), ["0 2 stored", "1 4 malformed", "2 5 stored", "3 6 invalid", "4 7 stored"]);
  assertStringIncludes(answered.json.results[1].errors[0].detail, "not JSON");
});

Deno.test("rest batch: a line that is not UTF-8 harms no other", async () => {
  await using test = openRest();
  const encode = (text: string) => [...new TextEncoder().encode(text)];
  const body = new Uint8Array([
    ...encode(lines(withId("ä", { id: "a", user_id: "ä" })) + "\n"),
    ...[0x22, 0xff, 0x22, 0x0a],
    ...encode(lines(withId("b", { user_id: "\ufffd" }))),
  ]);
  const answered = await test.ask("/events/batch", { body, type: NDJSON });
  assertEquals(statuses(answered), ["0 1 stored", "1 2 malformed", "2 3 stored"]);
  assertEquals((await test.ask("/events/a")).json.user_id, "ä");
});

Deno.test("rest batch: a line that is too long is malformed, and none after it is lost", async () => {
  await using test = openRest();
  const padded = (id: string, bytes: number) => lines(withId(id)).padEnd(bytes, " ");
  const wide = lines(withId("w", { user_id: "x" })).replace('"x"', `"${"ä".repeat(NDJSON_LINE_BYTES_MAX / 2)}"`);
  const body = [
    padded("a", NDJSON_LINE_BYTES_MAX),
    padded("b", NDJSON_LINE_BYTES_MAX + 1),
    wide,
    lines(withId("c")),
  ].join("\n");
  const answered = await test.ask("/events/batch", { body, type: NDJSON });
  assertEquals(statuses(answered), ["0 1 stored", "1 2 malformed", "2 3 malformed", "3 4 stored"]);
  assertEquals(answered.json.results[1].errors[0].code, "too_long");
});

Deno.test("rest batch: NDJSON of bad lines alone asks the hub nothing", async () => {
  await using test = openRest({ replace: { publishBatch: () => Promise.reject(new Error("asked")) } });
  const answered = await test.ask("/events/batch", { body: "{\n}\n", type: NDJSON });
  assertProblem(answered, 422, "invalid_argument");
  assertEquals(counts(answered), [0, 0, 2, 0]);
});

Deno.test("rest batch: 10,000 events are taken, one more and none is stored", async () => {
  await using test = openRest();
  const events = (count: number) => Array.from({ length: count }, (_, n) => withId(`e${n}`));
  const full = await test.ask("/events/batch?verbose=false", { body: events(BATCH_EVENTS_MAX) });
  assertEquals([full.status, ...counts(full)], [200, BATCH_EVENTS_MAX, 0, 0, 0]);

  await using other = openRest();
  const over = events(BATCH_EVENTS_MAX + 1);
  assertProblem(await other.ask("/events/batch", { body: over }), 413, "payload_too_large");
  assertProblem(await other.ask("/events/batch", { body: { events: over } }), 413, "payload_too_large");
  assertProblem(await other.ask("/events/batch", { body: lines(...over), type: NDJSON }), 413, "payload_too_large");
  assertEquals((await other.ask("/events")).json.events, []);
});

Deno.test("rest batch: one bad line among 9,999 good ones", async () => {
  await using test = openRest();
  const good = Array.from({ length: 9_999 }, (_, n) => lines(withId(`e${n}`)));
  good.splice(5_000, 0, "{bad");
  const answered = await test.ask("/events/batch?verbose=false", { body: good.join("\n"), type: NDJSON });
  assertEquals([answered.status, ...counts(answered)], [207, 9_999, 0, 1, 0]);
  assertEquals(statuses(answered), ["5000 5001 malformed"]);
});

Deno.test("rest batch: ids given by the hub come back, so that a retry is safe", async () => {
  await using test = openRest();
  const answered = await test.ask("/events/batch", { body: [EVENT, EVENT] });
  const [first, second] = answered.json.results;
  assert(first.id !== second.id);
  const again = await test.ask("/events/batch", { body: [{ ...EVENT, id: first.id }] });
  assertEquals(counts(again), [0, 1, 0, 0]);
});
