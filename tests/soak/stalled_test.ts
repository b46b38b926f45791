/** Subscribers that do not read. A run so short does not see them released: their sockets are not full by then. */
import { soakCase } from "./soak_case.ts";

soakCase("subscribers that do not read harm nobody, and can go on", {
  run: async () =>
    (await import("./stalled.ts")).runStalled({
      each: 4,
      healthy: 1,
      seconds: 4,
      eventsPerSecond: 200,
      warmUpEvents: 0,
      warmUpSeconds: 1,
      mustRelease: false,
      // The machine of a test may be busy with others.
      healthyP99MaxMs: 2_000,
    }),
});
