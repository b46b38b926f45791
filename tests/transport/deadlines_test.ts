/** The shared timer of bodies. */
import { assertEquals, assertRejects } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { Deadlines } from "../../src/transport/deadlines.ts";

const late = () => new Error("late");

Deno.test("deadlines: what waits too long is late, after at most a quarter more", async () => {
  using time = new FakeTime();
  const deadlines = new Deadlines(1_000);
  let settled = "";
  const guarded = deadlines.guard(new Promise<void>(() => {}), late).catch((error) => settled = error.message);
  time.tick(1_000);
  await Promise.resolve();
  assertEquals(settled, "");
  time.tick(250);
  await guarded;
  assertEquals(settled, "late");
});

Deno.test("deadlines: one that came later has its own full time", async () => {
  using time = new FakeTime();
  const deadlines = new Deadlines(1_000);
  const first = assertRejects(() => deadlines.guard(new Promise<void>(() => {}), late), Error, "late");
  time.tick(750);
  const second = Promise.withResolvers<string>();
  const guarded = deadlines.guard(second.promise, late);
  time.tick(500);
  await first;
  time.tick(400);
  second.resolve("in time");
  assertEquals(await guarded, "in time");
});

Deno.test("deadlines: results and errors go through, and no timer stays behind", async () => {
  const deadlines = new Deadlines(60_000);
  assertEquals(await deadlines.guard(Promise.resolve(7), late), 7);
  await assertRejects(() => deadlines.guard(Promise.reject(new TypeError("cut")), late), TypeError, "cut");
  // The sanitizers of the test runner would find the timer.
});

Deno.test("deadlines: what fails after it was late disturbs nobody", async () => {
  using time = new FakeTime();
  const deadlines = new Deadlines(1_000);
  const slow = Promise.withResolvers<void>();
  const guarded = assertRejects(() => deadlines.guard(slow.promise, late), Error, "late");
  time.tick(1_250);
  await guarded;
  slow.reject(new Error("cut at last"));
  await assertRejects(() => slow.promise);
});
