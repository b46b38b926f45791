/**
 * The entry of a Worker that serves gRPC: the same hub over the same store, in a thread of its own. It is the other
 * half of `grpc_thread.ts`; the two talk in the messages declared here.
 */
import { openThreadStorage } from "./app_storage.ts";
import type { Config } from "./config.ts";
import { Hub } from "./hub.ts";
import { TICK_MS } from "./limits.ts";
import type { SqlitePorts } from "./storage/sqlite.ts";
import { configureLogging, Metrics, withMetrics } from "./telemetry.ts";
import { startGrpc } from "./transport/grpc/server.ts";
import { clocks, every, Supervisor } from "./worker.ts";

/** What the main thread says. `start` comes first and once; without ports the store is a server that anybody reaches. */
export type ToThread =
  | { readonly kind: "start"; readonly config: Config; readonly ports: SqlitePorts | null }
  | { readonly kind: "metrics" }
  | { readonly kind: "stop" };

/** What the thread answers; `alive` comes every second. */
export type FromThread =
  | { readonly kind: "ready"; readonly port: number }
  | { readonly kind: "failed"; readonly message: string }
  | { readonly kind: "alive" }
  | { readonly kind: "metrics"; readonly metrics: unknown }
  | { readonly kind: "stopped" };

/** The global scope of a Worker, as far as it is used here. */
interface ThreadScope {
  onmessage: ((event: MessageEvent<ToThread>) => void) | null;
  postMessage(message: FromThread): void;
  close(): void;
}

/** Everything of this thread, closed in the reverse order of its opening. */
async function open(config: Config, ports: SqlitePorts | null) {
  await using opening = new AsyncDisposableStack();
  await configureLogging(config);
  const { store, stream } = await openThreadStorage(config, ports, opening);
  const hub = new Hub({ ...config, ...clocks, store, stream });
  opening.defer(() => hub.close());
  const metrics = new Metrics({ thread: "grpc", load: () => hub.load });
  const server = await startGrpc({ hub: withMetrics(hub, metrics), config });
  opening.use(server);
  opening.defer(() => hub.endSubscriptions());
  const supervisor = opening.use(new Supervisor({ now: clocks.elapsed }));
  supervisor.start({
    name: "grpc-clock",
    run: (signal) =>
      every(TICK_MS, signal, async () => {
        await hub.tick();
        say({ kind: "alive" });
      }),
  });
  const resources = opening.move();
  return { port: server.port, metrics, close: () => resources.disposeAsync() };
}

const scope = self as unknown as ThreadScope;
let opened: Awaited<ReturnType<typeof open>> | null = null;

function say(message: FromThread): void {
  scope.postMessage(message);
}

async function receive(message: ToThread): Promise<void> {
  switch (message.kind) {
    case "start":
      opened = await open(message.config, message.ports);
      return say({ kind: "ready", port: opened.port });
    case "metrics":
      return say({ kind: "metrics", metrics: await opened?.metrics.snapshot() ?? [] });
    case "stop":
      await opened?.close();
      say({ kind: "stopped" });
      return scope.close();
  }
}

scope.onmessage = ({ data }) => {
  receive(data).catch((error) => say({ kind: "failed", message: error instanceof Error ? error.message : `${error}` }));
};
