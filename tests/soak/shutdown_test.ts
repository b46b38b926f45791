/** SIGTERM under load. */
import { runShutdown } from "./shutdown.ts";
import { soakCase } from "./soak_case.ts";

soakCase("SIGTERM under load ends in time, loses nothing and gives every stream its cursor", {
  run: () => runShutdown({ rounds: 1, subscribers: 1, loadMs: 800 }),
});
