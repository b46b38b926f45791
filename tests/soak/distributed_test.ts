/** The soak runs of the distributed profile in their short forms, and that each would see what it looks for. */
import { assert } from "@std/assert";
import { distributedLacking } from "../services/distributed.ts";
import type { Report } from "./options.ts";
import { soakCase } from "./soak_case.ts";

const lacking = distributedLacking();
/** Counts events without their cells. */
const UNCOUNTED = "tests/soak/uncounted_main.ts";

function finds(...words: readonly string[]): (report: Report) => void {
  return ({ violations }) => {
    for (const word of words) {
      assert(violations.some((text) => text.includes(word)), `${word}:\n${violations.join("\n")}`);
    }
  };
}

soakCase("a fleet of five loses, miscounts and withholds nothing when any of them is killed", {
  lacking,
  run: async () => (await import("./fleet_kill.ts")).runFleetKill({ kills: 4, eventsPerSecond: 400 }),
});

soakCase("a process that acknowledges before it stores is caught when it is killed", {
  lacking,
  run: async () =>
    (await import("./fleet_kill.ts")).runFleetKill({
      kills: 2,
      eventsPerSecond: 400,
      victims: ["http"],
      mains: { http: "tests/soak/early_distributed_main.ts" },
    }),
  check: finds("acknowledged events are lost"),
});

soakCase("a fleet that marks events as counted and does not count them is caught", {
  lacking,
  run: async () =>
    (await import("./fleet_kill.ts")).runFleetKill({ kills: 0, eventsPerSecond: 400, mains: { rollup: UNCOUNTED } }),
  check: finds("cells differ from a recount"),
});

// How fresh 99 of 100 are is for the long form: here others use the machine at the same time.
const freshness = { p99Ms: 30_000, maxMs: 30_000 };

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  soakCase(`totals are exact when the processes that count are ended by ${signal}`, {
    lacking,
    run: async () => (await import("./rollups.ts")).runRollups({ signal, seconds: 6, eventsPerSecond: 300, freshness }),
  });
}

soakCase("metrics that are late or wrong are caught", {
  lacking,
  run: async () =>
    (await import("./rollups.ts")).runRollups({
      signal: "SIGTERM",
      seconds: 2,
      eventsPerSecond: 300,
      freshness: { p99Ms: 2_000, maxMs: 2_000 },
      main: UNCOUNTED,
    }),
  check: finds("probes are not shown", "are counted", "cells differ from a recount"),
});

soakCase("the stream stays as long as it may be, and what it drops is counted and told", {
  lacking,
  run: async () =>
    (await import("./stream_memory.ts")).runStreamMemory({ events: 20_000, entriesMax: 3_000, eventsPerSecond: 4_000 }),
});

soakCase("a stream that is longer than it may be is caught", {
  lacking,
  run: async () =>
    (await import("./stream_memory.ts")).runStreamMemory({
      events: 20_000,
      entriesMax: 3_000,
      eventsPerSecond: 4_000,
      isBounded: false,
      alarmMs: 1_000,
    }),
  check: finds("entries in the stream", "memory of Redis grew"),
});
