/** The threads beside the main one: a process that slept, or a clock that was set, is not their death. */
import { assertEquals } from "@std/assert";
import { FakeTime } from "@std/testing/time";
import { GrpcThread } from "../src/grpc_thread.ts";
import { SQLITE_WORKER_SILENCE_MS, THREAD_SILENCE_MS } from "../src/limits.ts";
import { SqliteDatabase } from "../src/storage/sqlite.ts";
import { Thread } from "../src/storage/sqlite_thread.ts";
import { testConfig } from "./harness.ts";
import { fileTest } from "./storage/sqlite.ts";

const LOOK_MS = 5_000;

/** Runs one look of who watches a thread, at a time far behind the last one. */
async function lookLate(time: FakeTime, lateMs: number): Promise<void> {
  const now = Date.now;
  Date.now = () => now() + lateMs;
  try {
    time.tick(LOOK_MS);
    await new Promise((resolve) => setImmediate(resolve));
  } finally {
    Date.now = now;
  }
}

fileTest("a Worker is taken for dead when it answers no ping, and not because the process slept", async (folder) => {
  const path = `${folder}/eventhub.db`;
  await (await SqliteDatabase.open({ path }))[Symbol.asyncDispose]();
  using time = new FakeTime();
  const deaths: string[] = [];
  const thread = new Thread(new URL("../src/storage/sqlite_checkpointer.ts", import.meta.url), {
    name: "checkpointer",
    options: { path, busyTimeoutMs: 0, troubleMs: 0 },
    events: { up: () => {}, down: (reason) => deaths.push(reason), log: () => {} },
  });
  await thread.start();
  await lookLate(time, 10 * SQLITE_WORKER_SILENCE_MS);
  assertEquals(deaths, []);
  // Its answers are not heard before this turn ends: each of these pings stays unanswered.
  for (let ms = 0; ms <= SQLITE_WORKER_SILENCE_MS; ms += LOOK_MS) time.tick(LOOK_MS);
  assertEquals(deaths.length, 1);
  await thread.close();
});

fileTest("the thread of gRPC lives on when the process slept", async (folder) => {
  await using database = await SqliteDatabase.open({ path: `${folder}/eventhub.db` });
  using time = new FakeTime();
  const stopping = new AbortController();
  const thread = new GrpcThread({ config: testConfig(), connect: () => database.ports() });
  const running = thread.run(stopping.signal).then(() => "stopped", (error: Error) => error.message);
  await thread.ready;
  await lookLate(time, 10 * THREAD_SILENCE_MS);
  // What a death sets off has happened by then.
  const alive = await Promise.race([running, thread.metrics().then(() => "alive")]);
  assertEquals(alive, "alive");
  stopping.abort();
  assertEquals(await running, "stopped");
}, ["net", "env"]);
