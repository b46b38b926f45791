/** A store that goes away for a moment while it is moved: it is asked again, and nothing is lost or counted twice. */
import { assert, assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { outcomeOf } from "../../src/cli/failure.ts";
import { patiently } from "../../src/cli/patience.ts";
import { HubError } from "../../src/errors.ts";
import { mongo, mongoLacking } from "../services/mongo.ts";
import { TcpProxy } from "../services/proxy.ts";
import { openMongodb } from "../storage/mongodb.ts";
import { processTest } from "./process.ts";
import { countsOf, countsOfFile, fillStore, runTransfer, workFolder } from "./transfer.ts";

const lacking = mongoLacking();
const away = () => new HubError("unavailable", "The database does not answer", { cause: new Error("code 6: reset") });

/** A command that writes into a collection, as it is on the wire. */
function writeTo(command: "insert" | "update", collection: string): string {
  return `${command}\0${String.fromCharCode(collection.length + 1)}\0\0\0${collection}\0`;
}

processTest(
  "transfer: MongoDB may be away for a moment at any write",
  async () => {
    await using folder = workFolder();
    await fillStore(folder, "first", 400);
    assertEquals(
      (await runTransfer(folder, ["export", "--store", folder.store("first")], { out: "a.ndjson" })).code,
      0,
    );
    const expected = await countsOfFile(folder, "first");
    await using proxy = TcpProxy.to(Number(new URL(mongo.url!).port || 27_017));
    for (
      const write of [
        writeTo("insert", "events"),
        writeTo("update", "events"),
        writeTo("update", "rollups"),
        writeTo("update", "meta"),
      ]
    ) {
      await using target = await openMongodb({ isPublished: true });
      const url = new URL(target.url);
      url.port = String(proxy.port);
      // A member of a replica set would tell the way around the proxy.
      url.searchParams.set("directConnection", "true");
      let isLost = false;
      proxy.loseAnswerTo(write).then(() => isLost = true);
      const { code, stdout, stderr } = await runTransfer(folder, ["import", "--store", url.href, "a.ndjson"]);
      assert(isLost, `the answer to ${JSON.stringify(write)} was not lost`);
      assertEquals({ code, stderr }, { code: 0, stderr: "" });
      assertStringIncludes(stdout, "Everything agrees.");
      assertEquals(await countsOf(target.transfer), expected);
    }
  },
  { lacking },
);

Deno.test("transfer: a store that stays away ends a move in a sentence; another error does at once", async () => {
  const { signal } = new AbortController();
  let tries = 0;
  const error = await assertRejects(() =>
    patiently(() => {
      tries++;
      return Promise.reject(away());
    }, { signal, retryMs: 50 })
  );
  assert(tries > 1);
  assertEquals(outcomeOf(error), {
    code: 1,
    message: "The database does not answer (code 6: reset). Run the same command again when the store answers",
  });
  assertEquals(outcomeOf(away()), { code: 1, message: "The database does not answer (code 6: reset)" });
  tries = 0;
  await assertRejects(() => patiently(() => Promise.reject(new Error(`${++tries}`)), { signal }), Error, "1");
  const stopped = new AbortController();
  const waiting = patiently(() => Promise.reject(away()), { signal: stopped.signal });
  stopped.abort();
  assertMatch((await assertRejects(() => waiting) as Error).message, /^Stopped/);
  assertEquals(await patiently(() => Promise.resolve(tries), { signal }), 1);
});
