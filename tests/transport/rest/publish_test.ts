/** POST /events. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import { assertProblem, assertShape, EVENT, faults, openRest, withId } from "./rest_harness.ts";

Deno.test("rest: an event is stored, and answered as the prototype's clients expect", async () => {
  await using test = openRest();
  const body = { user_id: "u1", event_type: "purchase", amount: 10.5, timestamp: "2025-07-15T12:34:56.123456" };
  const answered = await test.ask("/events", { body });
  assertEquals(answered.status, 200);
  assertEquals(answered.headers.get("content-type"), "application/json");
  assertShape("Published", answered.json);
  const { id } = answered.json;
  assertEquals((await test.ask(`/events/${id}`)).json, {
    id,
    ...body,
    timestamp: "2025-07-15T12:34:56.123Z",
    properties: {},
  });
});

Deno.test("rest: the same again is a duplicate, other content a conflict", async () => {
  await using test = openRest();
  const first = await test.ask("/events", { body: withId("a") });
  assertEquals(first.json, { status: "success", id: "a", duplicate: false });
  const second = await test.ask("/events", { body: withId("a", { amount: "12.50" }) });
  assertEquals(second.json, { status: "success", id: "a", duplicate: true });
  const other = await test.ask("/events", { body: withId("a", { amount: 13 }) });
  assertProblem(other, 409, "conflict");
  assertEquals(faults(other), ["/id mismatch"]);
});

Deno.test("rest: all faults of an event are told at once, by pointer", async () => {
  await using test = openRest();
  const answered = await test.ask("/events", { body: { id: "batch", user_id: "", amount: 1.23456, userid: 1 } });
  assertProblem(answered, 422, "invalid_argument");
  assertEquals(faults(answered), [
    "/amount too_precise",
    "/event_type required",
    "/id invalid_value",
    "/user_id too_short",
    "/userid unknown_field",
  ]);
  assertEquals((await test.ask("/events")).json.events, []);
});

Deno.test("rest: a body that is no object is refused by kind", async () => {
  await using test = openRest();
  for (const body of ["null", "[]", "[[]]", "1", '"text"', "true"]) {
    const answered = await test.ask("/events", { body });
    assertProblem(answered, 422, "invalid_argument");
    assertEquals([answered.json.detail, faults(answered)], ["An event must be a JSON object", [" invalid_type"]]);
  }
});

Deno.test("rest: the Idempotency-Key is the id", async () => {
  await using test = openRest();
  const key = (value: string) => ({ "idempotency-key": value });
  assertEquals((await test.ask("/events", { body: EVENT, headers: key("k-1") })).json.id, "k-1");
  assertEquals((await test.ask("/events", { body: EVENT, headers: key('"k-1"') })).json.duplicate, true);
  assertEquals((await test.ask("/events", { body: withId("k-1"), headers: key("k-1") })).json.duplicate, true);
  assertEquals((await test.ask("/events", { body: { ...EVENT, id: null }, headers: key("k-2") })).json.id, "k-2");

  const mismatch = await test.ask("/events", { body: withId("other", { amount: "x" }), headers: key("k-1") });
  assertProblem(mismatch, 422, "invalid_argument");
  assertEquals(faults(mismatch), ["/amount invalid_format", "Idempotency-Key mismatch"]);

  const faulty = await test.ask("/events", { body: EVENT, headers: key("no spaces") });
  assertProblem(faulty, 422, "invalid_argument");
  assertEquals(faults(faulty), ["Idempotency-Key invalid_format"]);
});

Deno.test("rest: X-Request-Id goes through when it is plain, and is replaced when it is not", async () => {
  await using test = openRest();
  const ask = async (id?: string) => {
    const headers: Record<string, string> = id === undefined ? {} : { "x-request-id": id };
    return (await test.ask("/livez", { headers })).headers.get("x-request-id");
  };
  assertEquals(await ask("order-17"), "order-17");
  assertMatch((await ask())!, /^[\w-]+$/);
  assert(await ask() !== await ask());
  assert(await ask("a b") !== "a b");
  assert(await ask("x".repeat(129)) !== "x".repeat(129));
});

Deno.test("rest: an event whose storing is in doubt is answered with its id and Retry-After", async () => {
  for (const [code, status] of [["unavailable", 503], ["overloaded", 503], ["deadline_exceeded", 504]] as const) {
    const publish = () => Promise.reject(new HubError(code, "Try again", { id: "given-1", retryAfterSeconds: 2 }));
    await using test = openRest({ replace: { publish } });
    const answered = await test.ask("/events", { body: EVENT });
    assertProblem(answered, status, code);
    assertEquals(answered.json.id, "given-1");
    assertEquals(answered.headers.get("retry-after"), "2");
  }
});

Deno.test("rest: what the hub did not expect is masked", async () => {
  await using test = openRest({ replace: { publish: () => Promise.reject(new Error("secret path /etc")) } });
  const answered = await test.ask("/events", { body: EVENT });
  assertProblem(answered, 500, "internal");
  assert(!answered.text.includes("secret"));
});

Deno.test("rest: an unknown parameter of POST /events is refused", async () => {
  await using test = openRest();
  const answered = await test.ask("/events?dry_run=true", { body: EVENT });
  assertProblem(answered, 422, "invalid_argument");
  assertEquals(faults(answered), ["dry_run unknown_parameter"]);
});
