/** The stream of a store's own log under the suite of its port, over SQLite. */
import { LogStream } from "../../src/stream/log.ts";
import { openFile, SQLITE_NEEDS, temporaryFolder } from "../storage/sqlite.ts";
import { type StreamHarness, testEventStream } from "./conformance.ts";

async function openLog(): Promise<StreamHarness> {
  const folder = temporaryFolder();
  const open = await openFile(`${folder.path}/eventhub.db`);
  const stream = new LogStream(open.log);
  return {
    store: open.store,
    stream,
    another: openLog,
    ahead: async () => {
      const [digits, check] = (await stream.head()).split(".");
      return `${String(Number(digits) + 1).padStart(digits!.length, "0")}.${check}`;
    },
    elsewhere: (position) => `${position}0`,
    [Symbol.asyncDispose]: async () => {
      await stream[Symbol.asyncDispose]();
      await open[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
}

testEventStream("log", { open: openLog, needs: SQLITE_NEEDS });
