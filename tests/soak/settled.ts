/** Waiting until everything stored is counted, on servers that a soak run has all for itself. */
import type { TestServers } from "../services/distributed.ts";
import { until } from "./pace.ts";

/** What a killed process had begun is taken over after 15 s; a busy machine, and a great backlog, take longer. */
const SETTLED_MS = 300_000;

/** Resolves when no event waits to be counted, with the milliseconds that took. */
export function untilSettled(servers: TestServers): Promise<number> {
  return until(async () => await servers.count("events", { pend: { $exists: true } }) === 0, {
    name: "every event is counted",
    timeoutMs: SETTLED_MS,
  });
}
