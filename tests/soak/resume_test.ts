/** Subscribers that are cut and resumed. */
import { runResume } from "./resume.ts";
import { soakCase } from "./soak_case.ts";

soakCase("a subscriber that is cut and resumed gets every event once, in order", {
  run: () => runResume({ cuts: 8, eventsPerSecond: 500, subscribers: 1 }),
});
