/** Killing the hub: nothing acknowledged is lost, and the run would see it. */
import { assert } from "@std/assert";
import { soakCase } from "./soak_case.ts";

soakCase("nothing acknowledged is lost when the hub is killed under load", {
  run: async () => (await import("./kill.ts")).runKill({ rounds: 3, loadMs: 600, listEvery: 3 }),
});

soakCase("a hub that acknowledges before the commit is caught", {
  run: async () =>
    (await import("./kill.ts")).runKill({ rounds: 2, loadMs: 600, listEvery: 2, main: "tests/soak/early_main.ts" }),
  check: ({ violations }) => assert(violations.some((text) => text.includes("lost")), violations.join("\n")),
});
