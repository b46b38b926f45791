/** The table of behaviours over the memory drivers, and once over the real process on SQLite. */
import { assertEquals } from "@std/assert";
import { startHub } from "../harness.ts";
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
    await stepThrough(test, { ...hub, shutDown });
  },
});
