/** The supervisor: starts again what failed, tells health, stops everything. */
import { assert, assertEquals } from "@std/assert";
import { nextDelay, Silence, Supervisor, wait } from "../src/worker.ts";

Deno.test("supervisor: waits double from 100 ms to 30 s", () => {
  assertEquals([1, 2, 3, 9, 10, 50].map(nextDelay), [100, 200, 400, 25_600, 30_000, 30_000]);
});

Deno.test("supervisor: a part that fails or stops by itself is started again, and health says so meanwhile", async () => {
  await using supervisor = new Supervisor({ now: () => 0 });
  const third = Promise.withResolvers<void>();
  let starts = 0;
  supervisor.start({
    name: "part",
    run: async (signal) => {
      starts += 1;
      if (starts === 1) throw new Error("broke");
      if (starts === 2) return;
      third.resolve();
      await wait(60_000, signal);
    },
  });
  assertEquals(supervisor.health(), { part: { ok: true, detail: "running" } });
  await new Promise((resolve) => setImmediate(resolve));
  assertEquals(supervisor.health(), { part: { ok: false, detail: "failed: broke" } });
  await third.promise;
  assertEquals(supervisor.health(), { part: { ok: true, detail: "running" } });
});

Deno.test("supervisor: disposing aborts every part and waits for it; twice is harmless", async () => {
  const supervisor = new Supervisor({ now: () => 0 });
  let ended = false;
  supervisor.start({
    name: "part",
    run: async (signal) => {
      await wait(60_000, signal);
      ended = true;
    },
  });
  await supervisor[Symbol.asyncDispose]();
  assert(ended);
  await supervisor[Symbol.asyncDispose]();
});

Deno.test("supervisor: disposing does not wait for the back-off of a failed part", async () => {
  const supervisor = new Supervisor({ now: () => 0 });
  let starts = 0;
  supervisor.start({ name: "part", run: () => Promise.reject(new Error(`start ${++starts}`)) });
  await new Promise((resolve) => setImmediate(resolve));
  await supervisor[Symbol.asyncDispose]();
  assertEquals(starts, 1);
});

Deno.test("silence: so many looks without a sign of life are death, a sign in between begins anew", () => {
  const silence = new Silence({ looksMax: 2 });
  assertEquals([silence.look(), silence.look()], [false, false]);
  silence.end();
  assertEquals([silence.look(), silence.look(), silence.look()], [false, false, true]);
});
