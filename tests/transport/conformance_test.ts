/** The table of behaviours over the memory drivers, over the real process on SQLite, and over it on MongoDB and Redis. */
import { assertEquals } from "@std/assert";
import { startHub } from "../harness.ts";
import { distributedLacking, mongoKind, openServers } from "../services/distributed.ts";
import { stepThrough, testBehaviours } from "./conformance.ts";
import { lacking, PROCESS_NEEDS } from "./served.ts";

testBehaviours();

const reason = lacking(PROCESS_NEEDS);

Deno.test({
  name: `behaviour of a real process on SQLite over all protocols${reason === null ? "" : ` (${reason})`}`,
  ignore: reason !== null,
  fn: async (test) => {
    await using hub = await startHub();
    const shutDown = async () => assertEquals((await hub.stop()).code, 0);
    await stepThrough(test, { ...hub, shutDown, settled: () => Promise.resolve() });
  },
});

const missing = reason ?? distributedLacking();

Deno.test({
  name: `behaviour of a real process on ${mongoKind} and Redis over all protocols${missing && ` (${missing})`}`,
  ignore: missing !== "",
  fn: async (test) => {
    await using servers = await openServers();
    await using hub = await startHub({ env: servers.env });
    const shutDown = async () => assertEquals((await hub.stop()).code, 0);
    await stepThrough(test, { ...hub, shutDown, settled: () => servers.settled() });
  },
});
