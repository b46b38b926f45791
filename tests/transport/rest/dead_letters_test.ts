/** Dead letters over REST: listed, read, deleted. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { altered } from "../../altered.ts";
import { idsOf, INCOMPLETE, letter, NAME, pathOf, redrive, stored } from "./letters.ts";
import { type Answered, assertProblem, assertShape, EVENT, faults, openRest, withId } from "./rest_harness.ts";

Deno.test("rest dead letters: listed newest first with the reason and what was sent", async () => {
  await using test = openRest();
  assertEquals((await test.ask("/dead-letters")).json, { dead_letters: [], next_cursor: null });
  const text = letter("in:m:2-0", "{broken", {
    code: "malformed",
    detail: "The field payload is not JSON",
    errors: [],
  });
  await test.letters.add([letter(NAME, INCOMPLETE), text, letter("in:m:3-0", {}, { tenant: "other" })]);
  const answered = await test.ask("/dead-letters");
  assertEquals(answered.status, 200);
  assertShape("DeadLetterPage", answered.json);
  assertEquals(answered.headers.has("link"), false);
  const first = {
    id: NAME,
    failed_at: "2025-07-15T12:00:00.000Z",
    code: "invalid_argument",
    detail: "/amount: amount is required",
    errors: [{ pointer: "/amount", code: "required", detail: "amount is required" }],
    payload: INCOMPLETE,
  };
  assertEquals(idsOf(answered), ["in:m:2-0", NAME]);
  assertEquals([answered.json.dead_letters[0].payload, answered.json.dead_letters[1]], ["{broken", first]);
  const one = await test.ask(pathOf(NAME));
  assertShape("DeadLetter", one.json);
  assertEquals(one.json, first);
});

Deno.test("rest dead letters: the Link and next_cursor lead through everything once", async () => {
  await using test = openRest();
  const all = Array.from({ length: 130 }, (_, i) => letter(`in:m:${i}-0`, INCOMPLETE));
  await test.letters.add(all);
  for (const limit of [1, 7, 49, 50, 51, 130, 1000]) {
    let path: string | undefined = `/dead-letters?limit=${limit}`;
    const seen: string[] = [];
    while (path !== undefined) {
      const page = await test.ask(path);
      assert(idsOf(page).length <= limit);
      seen.push(...idsOf(page));
      path = /^<([^>]+)>; rel="next"$/.exec(page.headers.get("link") ?? "")?.[1];
      assertEquals(path === undefined, page.json.next_cursor === null);
      if (path !== undefined) assertStringIncludes(path, `cursor=${encodeURIComponent(page.json.next_cursor)}`);
    }
    assertEquals(seen, all.map(({ id }) => id).reverse(), `by ${limit}`);
  }
  assertEquals(idsOf(await test.ask("/dead-letters")).length, 50);
});

Deno.test("rest dead letters: a page of large ones ends early and goes on, and never reads all at once", async () => {
  const limits: number[] = [];
  await using test = openRest({
    wrapLetters: (letters) =>
      altered(letters, { list: (tenant, page) => (limits.push(page.limit), letters.list(tenant, page)) }),
  });
  const large = { ...INCOMPLETE, note: "x".repeat(60_000) };
  await test.letters.add(Array.from({ length: 200 }, (_, i) => letter(`in:m:${i}-0`, large)));
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Answered = await test.ask(`/dead-letters?limit=1000${cursor === null ? "" : `&cursor=${cursor}`}`);
    assert(page.text.length < 8 * 1024 * 1024, `${page.text.length} characters`);
    assert(idsOf(page).length < 200);
    seen.push(...idsOf(page));
    cursor = page.json.next_cursor;
  } while (cursor !== null);
  assertEquals(new Set(seen).size, 200);
  assertEquals(seen.length, 200);
  assert(Math.max(...limits) <= 50, `${Math.max(...limits)} at once`);
});

Deno.test("rest dead letters: parameters and cursors that are wrong are told by name", async () => {
  await using test = openRest();
  await test.letters.add([letter("in:m:1-0", {}), letter("in:m:2-0", {})]);
  const bad = await test.ask("/dead-letters?limit=1001&cursor=&order=asc");
  assertProblem(bad, 422, "invalid_argument");
  assertEquals(faults(bad), ["cursor too_short", "limit out_of_range", "order unknown_parameter"]);
  for (const limit of ["0", "-1", "x", "1.5"]) {
    assertProblem(await test.ask(`/dead-letters?limit=${limit}`), 422, "invalid_argument");
  }
  const cursor: string = (await test.ask("/dead-letters?limit=1")).json.next_cursor;
  await test.ask("/events/batch", { body: [withId("a"), withId("b")] });
  const events = await test.ask("/events?limit=1");
  const altered = cursor.slice(0, -1) + (cursor.endsWith("a") ? "b" : "a");
  for (const other of ["x", altered, events.json.next_cursor, events.headers.get("x-stream-cursor")]) {
    const answered = await test.ask(`/dead-letters?cursor=${encodeURIComponent(other)}`);
    assertProblem(answered, 400, "invalid_cursor");
    assertEquals(faults(answered), ["cursor invalid_value"]);
  }
  assertProblem(await test.ask(`/events?cursor=${cursor}`), 400, "invalid_cursor");
  assertProblem(await test.ask(`/events/stream?after=${cursor}`), 400, "invalid_cursor");
  assertProblem(await test.ask("/dead-letters", { headers: { accept: "text/csv" } }), 406, "not_acceptable");
  for (const path of [pathOf("in:m:1-0"), `${pathOf("in:m:1-0")}/redrive`]) {
    const method = path.endsWith("redrive") ? "POST" : "DELETE";
    assertProblem(await test.ask(`${path}?force=1`, { method }), 422, "invalid_argument");
  }
  assertEquals(idsOf(await test.ask("/dead-letters")).length, 2);
});

Deno.test("rest dead letters: what is not there is 404, whatever its id looks like", async () => {
  await using test = openRest();
  const slashed = "in:m/rk:1-0";
  await test.letters.add([letter(slashed, EVENT), letter("in:m:2-0", EVENT, { tenant: "other" })]);
  const strange = ["unknown", "in:m:2-0", "a/../b", "/", "\u0000", "💥", "x".repeat(10_240), "%", "{id}", "$ne"];
  for (const id of strange) {
    for (const [method, path] of [["GET", ""], ["DELETE", ""], ["POST", "/redrive"]]) {
      const answered = await test.ask(pathOf(id) + path, { method });
      assertProblem(answered, 404, "not_found");
      assert(answered.text.length < 1_000);
    }
  }
  for (const id of ["%zz", "%", "%ff"]) {
    assertProblem(await test.ask(`/dead-letters/${id}`), 400, "malformed");
    assertProblem(await test.ask(`/dead-letters/${id}/redrive`, { method: "POST" }), 400, "malformed");
    assertProblem(await test.ask(`/dead-letters/${id}`, { method: "DELETE" }), 400, "malformed");
  }
  for (const path of ["/dead-letters/", "/dead-letters//redrive", "/dead-letters/a/b", "/dead-letters/a/redrive/"]) {
    for (const method of ["GET", "POST", "DELETE"]) assertProblem(await test.ask(path, { method }), 404, "not_found");
  }
  assertEquals((await test.ask(pathOf(slashed))).json.id, slashed);
  assertEquals((await redrive(test, slashed)).status, 200);
  assertEquals((await test.letters.list("other", { limit: 9 })).letters.length, 1);
});

Deno.test("rest dead letters: deleted once", async () => {
  await using test = openRest();
  await test.letters.add([letter(NAME, EVENT), letter("in:m:2-0", EVENT)]);
  const deleted = await test.ask(pathOf(NAME), { method: "DELETE" });
  assertEquals([deleted.status, deleted.json], [200, { status: "success", id: NAME }]);
  assertShape("Deleted", deleted.json);
  assertProblem(await test.ask(pathOf(NAME), { method: "DELETE" }), 404, "not_found");
  assertProblem(await redrive(test, NAME), 404, "not_found");
  assertEquals(idsOf(await test.ask("/dead-letters")), ["in:m:2-0"]);
  assertEquals(await stored(test), []);
});

Deno.test("rest dead letters: other methods are 405 with Allow", async () => {
  await using test = openRest();
  const cases: [string, string, string][] = [
    ["POST", "/dead-letters", "GET, HEAD, OPTIONS"],
    ["DELETE", "/dead-letters", "GET, HEAD, OPTIONS"],
    ["POST", "/dead-letters/a", "GET, HEAD, DELETE, OPTIONS"],
    ["GET", "/dead-letters/a/redrive", "POST, OPTIONS"],
    ["DELETE", "/dead-letters/a%2Fb/redrive", "POST, OPTIONS"],
  ];
  for (const [method, path, allow] of cases) {
    const answered = await test.ask(path, { method });
    assertProblem(answered, 405, "method_not_allowed");
    assertEquals(answered.headers.get("allow"), allow);
  }
  const options = await test.ask("/dead-letters/a", { method: "OPTIONS" });
  assertEquals([options.status, options.headers.get("allow")], [204, "GET, HEAD, DELETE, OPTIONS"]);
});

Deno.test("rest dead letters: what hangs is given up after the deadline", async () => {
  const hang = () => new Promise<never>(() => {});
  await using test = openRest({
    config: { requestTimeoutMs: 20 },
    replaceLetters: { list: hang, get: hang, redrive: hang, delete: hang },
  });
  for (const [method, path] of [["GET", ""], ["GET", "/a"], ["DELETE", "/a"], ["POST", "/a/redrive"]]) {
    assertProblem(await test.ask(`/dead-letters${path}`, { method }), 504, "deadline_exceeded");
  }
});

Deno.test("rest dead letters: requests are observed by route, not by id", async () => {
  const seen: string[] = [];
  await using test = openRest({ observe: (route, status) => seen.push(`${route} ${status}`) });
  await test.letters.add([letter(NAME, EVENT), letter("in:m:2-0", EVENT)]);
  await test.ask("/dead-letters");
  await test.ask(pathOf(NAME));
  await redrive(test, NAME);
  await test.ask(pathOf("in:m:2-0"), { method: "DELETE" });
  assertEquals(seen, [
    "GET /dead-letters 200",
    "GET /dead-letters/{id} 200",
    "POST /dead-letters/{id}/redrive 200",
    "DELETE /dead-letters/{id} 200",
  ]);
});
