/**
 * A hub with a fault put in: it acknowledges an event before the commit instead of after. It is the control of the kill
 * run, which must find events lost. Composed as `src/app.ts` composes the hub, but for the store and its single thread.
 */
import { loadConfig } from "../../src/config.ts";
import { DeadLetterDesk } from "../../src/dead_letter_desk.ts";
import { Hub } from "../../src/hub.ts";
import type { EventStore } from "../../src/storage.ts";
import { MemoryDeadLetters } from "../../src/storage/memory_dead_letters.ts";
import { connectSqlite, SqliteDatabase } from "../../src/storage/sqlite.ts";
import { LogStream } from "../../src/stream/log.ts";
import { createGraphql } from "../../src/transport/graphql/server.ts";
import { PROTO_FILES } from "../../src/protos.ts";
import { startGrpc } from "../../src/transport/grpc/server.ts";
import { createRest } from "../../src/transport/rest/server.ts";
import { VERSION } from "../../src/version.ts";
import { clocks } from "../../src/worker.ts";

/** How long the commit comes after the acknowledgement: long enough for a kill to fall between the two. */
const LATENESS_MS = 100;

/** The store, but for `append`, which says "stored" at once and lets the commit come later. */
function acknowledgingEarly(store: EventStore): EventStore {
  const append: EventStore["append"] = (events) => {
    setTimeout(() => void store.append(events), LATENESS_MS);
    return Promise.resolve(events.map(() => "stored" as const));
  };
  return new Proxy(store, {
    get(target, name) {
      if (name === "append") return append;
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === "function" ? member.bind(target) : member;
    },
  });
}

const config = loadConfig(Deno.env.toObject(), { isTerminal: false });
if (config.store.kind !== "sqlite") throw new Error("The control needs a store on disk");
const database = await SqliteDatabase.open({ path: config.store.path });
const { store, log } = await connectSqlite(database.ports().ports);
const stream = new LogStream(log);
const hub = new Hub({ ...config, store: acknowledgingEarly(store), stream, ...clocks });
const graphql = createGraphql({ hub, config });
const rest = createRest({
  hub,
  deadLetters: new DeadLetterDesk({ ...config, ...clocks, hub, letters: new MemoryDeadLetters() }),
  config,
  documents: { schema: graphql.sdl, protos: PROTO_FILES },
  operations: {
    version: VERSION,
    startedAt: Date.now(),
    metrics: () => Promise.resolve(""),
    ready: () => Promise.resolve({ ok: true, checks: {} }),
  },
});
const grpc = await startGrpc({ hub, config });
const server = Deno.serve({ hostname: config.host, port: config.httpPort, onListen: () => {} }, (request, info) => {
  return new URL(request.url).pathname === "/graphql" ? graphql.fetch(request) : rest.fetch(request, info);
});
console.log(`Event Hub is ready: http://${config.host}:${server.addr.port}  grpc://${config.host}:${grpc.port}`);
Deno.addSignalListener("SIGTERM", async () => {
  await database[Symbol.asyncDispose]();
  Deno.exit(0);
});
