/** The soak runs with faults of MongoDB and Redis in their short forms, and that each would see what it looks for. */
import { assert } from "@std/assert";
import { distributedLacking } from "../services/distributed.ts";
import { ownRedisMissing } from "../services/redis.ts";
import type { Report } from "./options.ts";
import { soakCase } from "./soak_case.ts";

const lacking = distributedLacking();
const EARLY = "tests/soak/early_distributed_main.ts";

function finds(words: string): (report: Report) => void {
  return ({ violations }) => assert(violations.some((text) => text.includes(words)), violations.join("\n"));
}

soakCase("faults on the way to MongoDB make no false success and no false conflict", {
  lacking,
  run: async () =>
    (await import("./mongo_faults.ts")).runMongoFaults({ rounds: 3, eventsPerSecond: 100, frozenMs: 600 }),
});

soakCase("a hub that acknowledges before MongoDB has the event is caught by its faults", {
  lacking,
  run: async () =>
    (await import("./mongo_faults.ts")).runMongoFaults({ rounds: 1, eventsPerSecond: 100, frozenMs: 600, main: EARLY }),
  check: finds("an event was called stored when MongoDB had hung"),
});

soakCase("inbound entries are each stored once or a dead letter when their taker is killed, and all are redriven", {
  lacking,
  run: async () => (await import("./inbound.ts")).runInbound({ entries: 4_000, kills: 2 }),
});

soakCase("a taker of inbound entries that acknowledges before the store has them is caught", {
  lacking,
  run: async () => (await import("./inbound.ts")).runInbound({ entries: 3_000, kills: 2, main: EARLY }),
  check: finds("events are lost"),
});

soakCase("faults of Redis refuse nothing, lose nothing, and every gap is filled", {
  lacking: lacking || (ownRedisMissing ?? ""),
  run: async () => {
    const { REDIS_FAULTS, runRedisFaults } = await import("./redis_faults.ts");
    return await runRedisFaults({ rounds: 1, faults: REDIS_FAULTS, eventsPerSecond: 100, frozenMs: 1_000 });
  },
});

soakCase("a hub that does not go back to the store for what Redis lost is caught", {
  lacking: lacking || (ownRedisMissing ?? ""),
  run: async () =>
    (await import("./redis_faults.ts")).runRedisFaults({
      rounds: 1,
      faults: ["emptied"],
      eventsPerSecond: 100,
      frozenMs: 0,
      filledMsMax: 3_000,
      main: "tests/soak/no_replay_main.ts",
    }),
  check: finds("In at the end, sse-returning has not got"),
});
