/** The pass of the minute: what it does, and that silence of the ticks is noticed. */
import { assertEquals } from "@std/assert";
import { MAINTENANCE_RETRY_MS, MAINTENANCE_SILENCE_MS, RETENTION_SLACK_MS } from "../src/limits.ts";
import { Maintenance } from "../src/maintenance.ts";

const HOUR_MS = 3_600_000;

/** A store that notes what it is asked. */
function noting(problem?: Error) {
  const calls: string[] = [];
  return {
    calls,
    settle: () => {
      calls.push("settle");
      return problem === undefined ? Promise.resolve(0) : Promise.reject(problem);
    },
    purge: (before: number) => {
      calls.push(`purge ${before}`);
      return Promise.resolve(0);
    },
  };
}

Deno.test("maintenance: without retention a pass settles and purges nothing", async () => {
  const store = noting();
  const maintenance = new Maintenance({
    store,
    now: () => 0,
    elapsed: () => 0,
    retentionMs: null,
    maxFutureMs: HOUR_MS,
  });
  await maintenance.pass();
  assertEquals(store.calls, ["settle"]);
});

Deno.test("maintenance: with retention it purges at the age of retention + clock skew + an hour of slack", async () => {
  const store = noting();
  const now = 100 * HOUR_MS;
  const maintenance = new Maintenance({
    store,
    now: () => now,
    elapsed: () => 0,
    retentionMs: 10 * HOUR_MS,
    maxFutureMs: HOUR_MS,
  });
  await maintenance.pass();
  assertEquals(store.calls, ["settle", `purge ${now - 11 * HOUR_MS - RETENTION_SLACK_MS}`]);
});

Deno.test("maintenance: a failing pass does not reject, shows in health, and the next good one clears it", async () => {
  const store = noting(new Error("disk is gone"));
  const good = noting();
  let current: ReturnType<typeof noting> = store;
  const maintenance = new Maintenance({
    store: { settle: () => current.settle(), purge: (before) => current.purge(before) },
    now: () => 0,
    elapsed: () => 0,
    retentionMs: null,
    maxFutureMs: 0,
  });
  await maintenance.pass();
  assertEquals(maintenance.health(), { ok: false, detail: "disk is gone" });
  current = good;
  await maintenance.pass();
  assertEquals(maintenance.health(), { ok: true, detail: "running" });
});

Deno.test("maintenance: the watchdog runs a pass only when none has ended for long, whatever the clock says", async () => {
  const store = noting();
  let [now, elapsed] = [0, 0];
  const maintenance = new Maintenance({
    store,
    now: () => now,
    elapsed: () => elapsed,
    retentionMs: null,
    maxFutureMs: 0,
  });
  now = 10 * MAINTENANCE_SILENCE_MS;
  elapsed = MAINTENANCE_SILENCE_MS - 1;
  await maintenance.watch();
  assertEquals(store.calls, []);
  now = -10 * MAINTENANCE_SILENCE_MS;
  elapsed += 1;
  await maintenance.watch();
  assertEquals(store.calls, ["settle"]);
  await maintenance.watch();
  assertEquals(store.calls, ["settle"]);
});

Deno.test("maintenance: a pass that failed is tried again soon, and health is well again with it", async () => {
  let problem: Error | null = new Error("the writer was started again");
  let elapsed = 0;
  const maintenance = new Maintenance({
    store: {
      settle: () => problem === null ? Promise.resolve(0) : Promise.reject(problem),
      purge: () => Promise.resolve(0),
    },
    now: () => 0,
    elapsed: () => elapsed,
    retentionMs: null,
    maxFutureMs: 0,
  });
  await maintenance.pass();
  problem = null;
  elapsed = MAINTENANCE_RETRY_MS - 1;
  await maintenance.watch();
  assertEquals(maintenance.health().ok, false);
  elapsed += 1;
  await maintenance.watch();
  assertEquals(maintenance.health().ok, true);
});

Deno.test("maintenance: a pass that has much to do goes on, is told, and is no fault", async () => {
  const done = Promise.withResolvers<number>();
  let begun = 0;
  let elapsed = 0;
  const maintenance = new Maintenance({
    store: {
      settle: () => {
        begun++;
        return done.promise;
      },
      purge: () => Promise.resolve(0),
    },
    now: () => 0,
    elapsed: () => elapsed,
    retentionMs: null,
    maxFutureMs: 0,
    passMs: 1,
  });
  await maintenance.pass();
  assertEquals(maintenance.health(), { ok: true, detail: "running; a pass has much to do" });
  elapsed = 10 * MAINTENANCE_SILENCE_MS;
  await maintenance.watch();
  await maintenance.pass();
  assertEquals(begun, 1, "a second one began beside it");
  done.resolve(5);
  await maintenance.pass();
  assertEquals(maintenance.health(), { ok: true, detail: "running" });
});
