/** Consumer groups whose two connections lead to different servers. */
import { assertEquals } from "@std/assert";
import { GroupWorker } from "../../src/stream/redis_group.ts";
import { RedisStream } from "../../src/stream/redis.ts";
import { rollupWorker } from "../../src/stream/redis_rollup.ts";
import { TcpProxy } from "../services/proxy.ts";
import { RedisServer } from "../services/redis.ts";
import { events } from "../storage/conformance/events.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK, QUICK_GROUP, running } from "./redis.ts";
import { redisTest, until, whenCounted } from "./redis_hub.ts";

/** Ends the connections of a name, which are then made anew. */
async function cut(server: RedisServer, name: string): Promise<void> {
  for (const line of String(await server.send("CLIENT", "LIST")).split("\n")) {
    const [, id, of] = /^id=(\d+) .* name=(\S*) /.exec(line) ?? [];
    if (id !== undefined && of === name) await server.send("CLIENT", "KILL", "ID", id);
  }
}

redisTest("what a connection brought is acknowledged by it, wherever the other leads meanwhile", async (server) => {
  await using other = await RedisServer.start();
  await using proxy = TcpProxy.to(server.port);
  const options = {
    url: `redis://127.0.0.1:${proxy.port}`,
    group: "g",
    stream: () => "own",
    deletesDone: true,
    blockMs: 100,
  };
  const add = () => server.send("XADD", "own", "*", "a", "1");
  const worker = new GroupWorker({ ...options, entriesMax: 10 }, (entries) => {
    return Promise.resolve(entries.map(({ id }) => id));
  });
  await add();
  await using _running = running(worker);
  const whenDone = () => until("it is done", async () => await server.send("XLEN", "own") === 0);
  await whenDone();
  proxy.target = other.port;
  await cut(server, "eventhub-g");
  await add();
  await whenDone();
  assertEquals((await server.send("XPENDING", "own", "g") as readonly number[])[0], 0);
});

redisTest("a reader that leads to another Redis takes the other connection along", async (server) => {
  await using other = await RedisServer.start();
  await using proxy = TcpProxy.to(server.port);
  const source = new FakeStore();
  const url = `redis://127.0.0.1:${proxy.port}`;
  await using _running = running(rollupWorker({ url, source, ...QUICK_GROUP }));
  const groups = async (of: RedisServer) => Number(await of.send("EXISTS", "events:slot:rollup:1"));
  await until("it works", async () => await groups(server) === 1);
  proxy.target = other.port;
  await cut(server, "eventhub-rollup-reader");
  await until("it works in the other one", async () => await groups(other) === 1);
  await using stream = await RedisStream.open({ url: other.url, source, ...QUICK });
  await source.append(events(20));
  await stream.whenPublished();
  await whenCounted(source);
});
