/** SIGTERM under load. */
import { soakCase } from "./soak_case.ts";

soakCase("SIGTERM under load ends in time, loses nothing and gives every stream its cursor", {
  run: async () => (await import("./shutdown.ts")).runShutdown({ rounds: 1, subscribers: 1, loadMs: 800 }),
});
