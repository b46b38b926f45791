/** An event that is stored while a subscription opens. */
import { soakCase } from "./soak_case.ts";

soakCase("an event stored while a subscription opens is delivered at once", {
  run: async () => (await import("./opening.ts")).runOpening({ rounds: 40 }),
});
