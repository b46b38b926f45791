/** Subscribers that are cut and resumed. */
import { soakCase } from "./soak_case.ts";

soakCase("a subscriber that is cut and resumed gets every event once, in order", {
  run: async () => (await import("./resume.ts")).runResume({ cuts: 8, eventsPerSecond: 500, subscribers: 1 }),
});
