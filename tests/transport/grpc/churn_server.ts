/** The server of churn.ts: prints its port, serves until SIGTERM, and then shuts down. */
import http2 from "node:http2";

const { createServer } = http2;
// Loaded behind the line above: it replaces what was noted there.
const { startGrpc } = await import("../../../src/transport/grpc/server.ts");
const { openTestHub, testConfig } = await import("../../harness.ts");
if (Deno.args.includes("--without-remedy")) http2.createServer = createServer;

await using test = openTestHub();
await using server = await startGrpc({ hub: test.hub, config: testConfig() });
const stop = Promise.withResolvers<void>();
Deno.addSignalListener("SIGTERM", stop.resolve);
console.log(server.port);
await stop.promise;
Deno.removeSignalListener("SIGTERM", stop.resolve);
