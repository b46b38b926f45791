/** Dead letters over REST: taken after all. */
import { assert, assertEquals } from "@std/assert";
import { HubError } from "../../../src/errors.ts";
import { altered } from "../../altered.ts";
import { assertKept, idsOf, INCOMPLETE, letter, NAME, pathOf, redrive, stored } from "./letters.ts";
import { assertProblem, assertShape, EVENT, faults, openRest, type TestRest, withId } from "./rest_harness.ts";

Deno.test("rest dead letters: redriven with a corrected event it is stored once, and the letter is gone", async () => {
  await using test = openRest();
  await test.letters.add([letter(NAME, { ...INCOMPLETE, id: "order-1" }), letter("in:m:2-0", INCOMPLETE)]);
  const taken = await redrive(test, NAME, EVENT);
  assertEquals(taken.json, { status: "success", id: "order-1", duplicate: false });
  assertShape("Published", taken.json);
  assertEquals((await test.hub.get("default", "order-1")).source, "redis");
  assertProblem(await redrive(test, NAME, EVENT), 404, "not_found");
  // One that had no id has that of its entry, with or without the correction naming it.
  assertEquals((await redrive(test, "in:m:2-0", withId("in:m:2-0"))).json.id, "in:m:2-0");
  assertEquals(await stored(test), ["in:m:2-0", "order-1"]);
  assertEquals(idsOf(await test.ask("/dead-letters")), []);
  // The entry comes again, as after a crash between the two writes: the same event is a duplicate then.
  await test.letters.add([letter("in:m:2-0", INCOMPLETE)]);
  assertEquals((await redrive(test, "in:m:2-0", EVENT)).json, { status: "success", id: "in:m:2-0", duplicate: true });
  assertEquals(await stored(test), ["in:m:2-0", "order-1"]);
  assertEquals(idsOf(await test.ask("/dead-letters")), []);
});

Deno.test("rest dead letters: redriven without a body the kept event is tried again", async () => {
  await using test = openRest();
  await test.letters.add([
    letter("in:m:1-0", withId("late")),
    letter("in:m:2-0", EVENT),
    letter("in:m:3-0", INCOMPLETE),
    letter("in:m:4-0", "no event"),
  ]);
  assertEquals((await redrive(test, "in:m:1-0")).json.id, "late");
  // An empty body is none, whatever its type.
  const empty = await test.ask(`${pathOf("in:m:2-0")}/redrive`, { method: "POST", type: "application/json", body: "" });
  assertEquals([empty.status, empty.json.id], [200, "in:m:2-0"]);
  for (const [id, fault] of [["in:m:3-0", "/amount required"], ["in:m:4-0", " invalid_type"]] as const) {
    const answered = await redrive(test, id);
    assertProblem(answered, 422, "invalid_argument");
    assertEquals(faults(answered), [fault]);
    await assertKept(test, id);
  }
  assertEquals(await stored(test), ["in:m:2-0", "late"]);
});

Deno.test("rest dead letters: a corrected event keeps the id it had, if that can be an id", async () => {
  await using test = openRest();
  await test.letters.add([
    letter("in:m:1-0", { ...INCOMPLETE, id: "order-1" }),
    letter("in:m:2-0", { ...EVENT, id: "order 2" }),
    letter("in:m:3-0", { ...EVENT, id: 3 }),
    letter("in:m:4-0", INCOMPLETE),
  ]);
  const other = await redrive(test, "in:m:1-0", { ...INCOMPLETE, id: "order-9", colour: "red" });
  assertProblem(other, 422, "invalid_argument");
  assertEquals(faults(other), ["/amount required", "/colour unknown_field", "/id mismatch"]);
  assertEquals(faults(await redrive(test, "in:m:1-0", { ...EVENT, id: 7 })), ["/id invalid_type"]);
  assertEquals(faults(await redrive(test, "in:m:2-0")), ["/id invalid_format"]);
  assertEquals(await stored(test), []);
  assertEquals(idsOf(await test.ask("/dead-letters")).length, 4);
  assertEquals((await redrive(test, "in:m:2-0", withId("order-2"))).json.id, "order-2");
  assertEquals((await redrive(test, "in:m:3-0", EVENT)).json.id, "in:m:3-0");
  assertEquals((await redrive(test, "in:m:4-0", { ...EVENT, id: null })).json.id, "in:m:4-0");
});

Deno.test("rest dead letters: a conflict and an invalid correction leave the letter", async () => {
  await using test = openRest();
  await test.ask("/events", { body: withId("taken") });
  await test.letters.add([letter(NAME, withId("taken", { amount: 99 }), { code: "conflict" })]);
  const conflict = await redrive(test, NAME);
  assertProblem(conflict, 409, "conflict");
  await assertKept(test, NAME);
  const invalid = await redrive(test, NAME, { ...EVENT, amount: "much", colour: "red" });
  assertProblem(invalid, 422, "invalid_argument");
  assertEquals(faults(invalid), ["/amount invalid_format", "/colour unknown_field"]);
  await assertKept(test, NAME);
  assertEquals((await redrive(test, NAME, EVENT)).json, { status: "success", id: "taken", duplicate: true });
  assertEquals(await stored(test), ["taken"]);
});

Deno.test("rest dead letters: bodies that are no event are refused, and the letter stays", async () => {
  await using test = openRest();
  await test.letters.add([letter(NAME, INCOMPLETE)]);
  const path = `${pathOf(NAME)}/redrive`;
  const cases: [Parameters<TestRest["ask"]>[1], number, string][] = [
    [{ body: "{broken" }, 400, "malformed"],
    [{ body: new Uint8Array([0x22, 0xff, 0x22]) }, 400, "malformed"],
    [{ body: " " }, 400, "malformed"],
    [{ body: "null" }, 422, "invalid_argument"],
    [{ body: "[]" }, 422, "invalid_argument"],
    [{ body: [EVENT] }, 422, "invalid_argument"],
    [{ body: { ...EVENT, __proto__: null, note: 1 } }, 422, "invalid_argument"],
    [{ body: '{"__proto__":{"amount":1}}' }, 422, "invalid_argument"],
    [{ body: { ...EVENT, properties: { note: "x".repeat(70_000) } } }, 413, "payload_too_large"],
    [{ body: EVENT, type: "text/plain" }, 415, "unsupported_media_type"],
    [{ body: JSON.stringify(EVENT), headers: { "content-encoding": "br" } }, 415, "unsupported_media_type"],
    [{ body: new Uint8Array([1, 2]), headers: { "content-encoding": "gzip" } }, 400, "malformed"],
  ];
  for (const [ask, status, code] of cases) {
    assertProblem(await test.ask(path, { method: "POST", ...ask }), status, code);
    await assertKept(test, NAME);
  }
  const untyped = new Request(`http://hub.test${path}`, {
    method: "POST",
    body: new TextEncoder().encode(JSON.stringify(EVENT)),
  });
  assertEquals((await test.rest.fetch(untyped)).status, 415);
  assertEquals(await stored(test), []);
  assertEquals((await redrive(test, NAME, EVENT)).status, 200);
});

Deno.test("rest dead letters: while the store is away the letter stays, and the retry is a duplicate at worst", async () => {
  let away = true;
  let undeletable = false;
  await using test = openRest({
    hub: {
      wrapStore: (store) =>
        altered(store, {
          append: (events) => away ? Promise.resolve(events.map(() => "unavailable" as const)) : store.append(events),
        }),
    },
    wrapLetters: (letters) =>
      altered(letters, {
        delete: (tenant, id) =>
          undeletable
            ? Promise.reject(new HubError("unavailable", "The database does not answer"))
            : letters.delete(tenant, id),
      }),
  });
  await test.letters.add([letter(NAME, INCOMPLETE)]);
  const refused = await redrive(test, NAME, EVENT);
  assertProblem(refused, 503, "unavailable");
  assertEquals(refused.headers.get("retry-after"), "1");
  await assertKept(test, NAME);
  [away, undeletable] = [false, true];
  assertProblem(await redrive(test, NAME, EVENT), 503, "unavailable");
  await assertKept(test, NAME);
  undeletable = false;
  assertEquals((await redrive(test, NAME, EVENT)).json, { status: "success", id: NAME, duplicate: true });
  assertEquals(await stored(test), [NAME]);
  assertEquals(idsOf(await test.ask("/dead-letters")), []);
});

Deno.test("rest dead letters: many who redrive one letter at once store one event", async () => {
  await using test = openRest();
  await test.letters.add([letter(NAME, INCOMPLETE)]);
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => redrive(test, NAME, { ...EVENT, amount: 1 + i % 2 })),
  );
  const fresh = answers.filter(({ json }) => json.duplicate === false);
  assertEquals([fresh.length, await stored(test)], [1, [NAME]]);
  for (const { status } of answers) assert([200, 404, 409].includes(status), `${status}`);
  assertEquals(idsOf(await test.ask("/dead-letters")), []);
});

Deno.test("rest dead letters: an event that makes the hub fail is masked, and the letter stays", async () => {
  await using test = openRest({ replace: { publish: () => Promise.reject(new TypeError("a fault of the hub")) } });
  await test.letters.add([letter(NAME, EVENT, { code: "internal" })]);
  const answered = await redrive(test, NAME);
  assertProblem(answered, 500, "internal");
  assertEquals(answered.text.includes("a fault of the hub"), false);
  await assertKept(test, NAME);
});
