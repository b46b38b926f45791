/** GET /events and GET /events/{id}. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import { assertProblem, assertShape, EVENT, faults, openRest, type TestRest, withId } from "./rest_harness.ts";

const at = (minute: number) => `2025-07-15T12:${String(minute).padStart(2, "0")}:00Z`;

async function fill(test: TestRest): Promise<void> {
  const body = [
    withId("a", { timestamp: at(1), user_id: "u1", event_type: "purchase" }),
    withId("b", { timestamp: at(2), user_id: "u2", event_type: "refund", amount: -3.25 }),
    withId("c", { timestamp: at(3), user_id: "u1", event_type: "return", properties: { note: 'a "b", c' } }),
    withId("d", { timestamp: at(4), user_id: "u3", event_type: "purchase" }),
  ];
  assertEquals((await test.ask("/events/batch", { body })).status, 200);
}

const ids = (answered: { json: { events: { id: string }[] } }) => answered.json.events.map(({ id }) => id).join("");

Deno.test("rest list: newest first by timestamp, with every filter", async () => {
  await using test = openRest();
  await fill(test);
  const all = await test.ask("/events");
  assertEquals(all.status, 200);
  assertShape("EventPage", all.json);
  const cases: [string, string][] = [
    ["", "dcba"],
    ["?order=asc", "abcd"],
    ["?user_id=u1", "ca"],
    ["?event_type=refund", "b"],
    ["?event_type=refund&event_type=return", "cb"],
    [`?from=${at(2)}`, "dcb"],
    [`?to=${at(2)}`, "a"],
    [`?from=${at(2)}&to=${at(4)}&order=asc`, "bc"],
    [`?from=${at(2)}&to=${at(2)}`, ""],
    ["?from=2025-07-15T14:02:00%2B02:00", "dcb"],
    ["?user_id=nobody", ""],
    ["?limit=2", "dc"],
  ];
  for (const [query, expected] of cases) assertEquals(ids(await test.ask(`/events${query}`)), expected, query);
});

Deno.test("rest list: the Link and next_cursor lead through everything once", async () => {
  await using test = openRest();
  await fill(test);
  let path: string | undefined = "/events?limit=1&event_type=purchase&event_type=return&event_type=refund";
  const seen: string[] = [];
  while (path !== undefined) {
    const page = await test.ask(path);
    seen.push(ids(page));
    const link: string | null = page.headers.get("link");
    path = /^<([^>]+)>; rel="next"$/.exec(link ?? "")?.[1];
    assertEquals(path === undefined, page.json.next_cursor === null);
    if (path !== undefined) assertStringIncludes(path, `cursor=${encodeURIComponent(page.json.next_cursor)}`);
  }
  assertEquals(seen.join(""), "dcba");
});

Deno.test("rest list: X-Stream-Cursor is taken before the page, so that nothing falls between", async () => {
  const calls: string[] = [];
  await using test = openRest({
    replace: {
      streamHead: () => Promise.resolve(`head-${calls.push("head")}`),
      list: () => {
        calls.push("list");
        return Promise.resolve({ events: [], nextCursor: null, cursorAt: () => "" });
      },
    },
  });
  assertEquals((await test.ask("/events")).headers.get("x-stream-cursor"), "head-1");
  assertEquals(calls, ["head", "list"]);
});

Deno.test("rest list: all faulty parameters are told at once, unknown ones by name", async () => {
  await using test = openRest();
  const query = "user_id=&event_type=purchase&event_type=9&from=2025-07-15&to=24&limit=0&limit=1&order=up&cursor=" +
    `&sort=asc&${"x".repeat(100)}=1&constructor=1`;
  const answered = await test.ask(`/events?${query}`);
  assertProblem(answered, 422, "invalid_argument");
  assertEquals(
    faults(answered),
    [
      "constructor unknown_parameter",
      "cursor too_short",
      "event_type invalid_format",
      "from invalid_timestamp",
      "limit invalid_value",
      "order invalid_value",
      "sort unknown_parameter",
      "to invalid_timestamp",
      "user_id too_short",
      `${"x".repeat(64)} unknown_parameter`,
    ].sort(),
  );
  const cases: [string, string][] = [
    ["limit=0", "limit out_of_range"],
    ["limit=1001", "limit out_of_range"],
    ["limit=1.5", "limit invalid_type"],
    ["limit=-1", "limit invalid_type"],
    ["limit=1e2", "limit invalid_type"],
    ["limit=99999999999999", "limit invalid_type"],
    [`from=${at(5)}&to=${at(4)}`, "from out_of_range"],
    ["user_id=a%00b", "user_id invalid_format"],
    [`user_id=${"x".repeat(257)}`, "user_id too_long"],
    ["from=2025-07-15T14:02:00+02:00", "from invalid_timestamp"],
  ];
  for (const [each, expected] of cases) {
    const one = await test.ask(`/events?${each}`);
    assertProblem(one, 422, "invalid_argument");
    assertEquals(faults(one), [expected]);
  }
  assertStringIncludes((await test.ask("/events?from=2025-07-15T14:02:00+02:00")).text, "%2B");
});

Deno.test("rest list: a cursor that is none, or is of another kind, is invalid_cursor", async () => {
  await using test = openRest();
  await fill(test);
  const page = await test.ask("/events?limit=1");
  const cursor: string = page.json.next_cursor;
  const live = page.headers.get("x-stream-cursor")!;
  const altered = cursor.slice(0, -1) + (cursor.endsWith("a") ? "b" : "a");
  for (const bad of ["x", live, altered]) {
    assertProblem(await test.ask(`/events?cursor=${encodeURIComponent(bad)}`), 400, "invalid_cursor");
  }
  assertProblem(await test.ask(`/events?order=asc&cursor=${encodeURIComponent(cursor)}`), 400, "invalid_cursor");
});

Deno.test("rest list: CSV by Accept, as RFC 4180 has it", async () => {
  await using test = openRest();
  await fill(test);
  await test.ask("/events", { body: withId("=1+1", { user_id: "+49 30", timestamp: at(5) }) });
  const answered = await test.ask("/events?limit=4", { headers: { accept: "text/csv" } });
  assertEquals(answered.headers.get("content-type"), "text/csv; charset=utf-8; header=present");
  assertEquals(answered.headers.get("vary"), "Accept");
  assert(answered.headers.has("link"));
  assertEquals(answered.text.split("\r\n"), [
    "id,user_id,event_type,amount,timestamp,properties",
    "'=1+1,'+49 30,purchase,12.5,2025-07-15T12:05:00.000Z,{}",
    "d,u3,purchase,12.5,2025-07-15T12:04:00.000Z,{}",
    'c,u1,return,12.5,2025-07-15T12:03:00.000Z,"{""note"":""a \\""b\\"", c""}"',
    "b,u2,refund,-3.25,2025-07-15T12:02:00.000Z,{}",
    "",
  ]);
});

Deno.test("rest list: Accept is negotiated by quality, and nothing acceptable is 406", async () => {
  await using test = openRest();
  const cases: [string, string | null][] = [
    ["*/*", "application/json"],
    ["text/*", "text/csv"],
    ["application/*, text/csv;q=0.9", "application/json"],
    ["application/json;q=0.1, text/csv", "text/csv"],
    ["TEXT/CSV", "text/csv"],
    ["text/html, */*;q=0.1", "application/json"],
    ["application/json;q=0, */*", "text/csv"],
    ["text/html", null],
    ["application/json;q=0", null],
  ];
  for (const [accept, expected] of cases) {
    const answered = await test.ask("/events", { headers: { accept } });
    if (expected === null) assertProblem(answered, 406, "not_acceptable");
    else assertEquals(answered.headers.get("content-type")?.split(";")[0], expected, accept);
  }
});

Deno.test("rest list: a store that cannot be reached is an error, not an empty list", async () => {
  const list = () => Promise.reject(new HubError("unavailable", "The store cannot be reached"));
  await using test = openRest({ replace: { list } });
  const answered = await test.ask("/events");
  assertProblem(answered, 503, "unavailable");
  assertEquals(answered.headers.get("retry-after"), "1");
});

Deno.test("rest get: ids are percent-decoded, a slash in them too", async () => {
  await using test = openRest();
  for (const id of ["a", "a/b", "a:b@c~d+e=f", "..", "a/../b", "x".repeat(128)]) {
    await test.ask("/events", { body: withId(id) });
    // A request of the fetch standard folds dots in its address, so that a path of two dots alone never arrives.
    if (id === "..") continue;
    const answered = await test.ask(`/events/${encodeURIComponent(id)}`);
    assertEquals((await test.ask(`/%65vents/${encodeURIComponent(id)}`)).text, answered.text);
    assertEquals([answered.status, answered.json.id], [200, id]);
    assertShape("Event", answered.json);
  }
  assertEquals((await test.ask("/events/a+b")).status, 404);
});

Deno.test("rest get: what is not there is 404, what cannot be decoded 400", async () => {
  await using test = openRest();
  assertProblem(await test.ask("/events/unknown"), 404, "not_found");
  assertProblem(await test.ask(`/events/${"x".repeat(500)}`), 404, "not_found");
  assertProblem(await test.ask("/events/%00"), 404, "not_found");
  for (const id of ["%zz", "%", "%ff"]) assertProblem(await test.ask(`/events/${id}`), 400, "malformed");
  assertProblem(await test.ask("/events/a?verbose=1"), 422, "invalid_argument");
  assertProblem(await test.ask("/events/a", { headers: { accept: "text/csv" } }), 406, "not_acceptable");
});

Deno.test("rest get: amounts, times and properties come back as they were meant", async () => {
  await using test = openRest();
  const cases: [Record<string, unknown>, Record<string, unknown>][] = [
    [{ amount: 0.1 }, { amount: 0.1 }],
    [{ amount: "-0" }, { amount: 0 }],
    [{ amount: "1000000000" }, { amount: 1_000_000_000 }],
    [{ amount: -999999999.9999 }, { amount: -999999999.9999 }],
    [{ timestamp: "2025-07-15t14:34:00.1239+02:00" }, { timestamp: "2025-07-15T12:34:00.123Z" }],
    [{ timestamp: undefined }, { timestamp: "2025-07-15T12:34:56.789Z" }],
    [{ properties: {} }, { properties: {} }],
    [{ properties: { a: [1, { "\u2028": "\n" }], "": null } }, null as never],
    [{ user_id: '"\\\u2028' }, { user_id: '"\\\u2028' }],
  ];
  for (const [change, expected] of cases) {
    const sent = await test.ask("/events", { body: { ...EVENT, ...change } });
    if (expected === null) continue;
    const got = await test.ask(`/events/${sent.json.id}`);
    assertEquals({ ...got.json, ...expected }, got.json);
  }
});

Deno.test("rest: HEAD answers as GET does", async () => {
  await using test = openRest();
  const answered = await test.ask("/events", { method: "HEAD" });
  assertEquals(answered.status, 200);
  assert(answered.headers.has("x-stream-cursor"));
  assertEquals((await test.ask("/events/x", { method: "HEAD" })).status, 404);
});

Deno.test("rest: a read that hangs is given up after the deadline, a stream that opens too late is closed", async () => {
  const opening = Promise.withResolvers<never>();
  const hang = () => opening.promise;
  await using test = openRest({
    config: { requestTimeoutMs: 20 },
    replace: { list: hang, get: hang, aggregates: hang, subscribe: hang },
  });
  for (const path of ["/events", "/events/a", "/aggregates", "/events/stream"]) {
    const answered = await test.ask(path);
    assertProblem(answered, 504, "deadline_exceeded");
    assertEquals(answered.headers.get("retry-after"), "1");
  }
  const closed = Promise.withResolvers<void>();
  opening.resolve({ close: closed.resolve, ended: new AbortController().signal } as never);
  await closed.promise;
});
