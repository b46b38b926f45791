/** The composition root: the only place where the hub and its technologies meet. */
import { getLogger } from "@logtape/logtape";
import { type Config, describeConfig } from "./config.ts";
import { DeadLetterDesk } from "./dead_letter_desk.ts";
import { GrpcThread } from "./grpc_thread.ts";
import { Hub, type HubApi } from "./hub.ts";
import { TICK_MS } from "./limits.ts";
import { openStorage, type Storage } from "./app_storage.ts";
import { Maintenance } from "./maintenance.ts";
import { PROTO_FILES } from "./protos.ts";
import { configureLogging, Metrics, withMetrics } from "./telemetry.ts";
import { createGraphql } from "./transport/graphql/server.ts";
import { startGrpc } from "./transport/grpc/server.ts";
import { createRest } from "./transport/rest/server.ts";
import { VERSION } from "./version.ts";
import { pages } from "./web/pages.ts";
import { clocks, every, Supervisor, within, type WorkerHealth } from "./worker.ts";

const log = getLogger(["eventhub", "app"]);

/** Streams that nobody reads keep a server from ending by itself; after this it is left to the end of the process. */
const SERVER_CLOSE_MS = 3_000;

/** A running hub. Disposing it ends streams with their cursors, finishes requests, and closes the store. */
export interface App extends AsyncDisposable {
  /** For example `http://127.0.0.1:8000`. */
  readonly httpUrl: string;
  /** For example `127.0.0.1:50051`; `null` without role `grpc`. */
  readonly grpcAddress: string | null;
}

/**
 * Opens everything and resolves when all is ready to serve. Rejects with an error for a person when a part cannot
 * start; what was opened before is closed again.
 */
export async function openApp(config: Config): Promise<App> {
  await using opening = new AsyncDisposableStack();
  await configureLogging(config);
  log.info(`Starting Event Hub ${VERSION}`, describeConfig(config));
  const startedAt = Date.now();
  const storage = await openStorage(config, opening);
  const { store, stream } = storage;
  const hub = new Hub({ ...config, ...clocks, store, stream });
  opening.defer(() => hub.close());
  const metrics = new Metrics({ thread: "http", load: () => hub.load, stream: storage.measure });
  const measured = withMetrics(hub, metrics);

  const supervisor = opening.use(new Supervisor({ now: clocks.elapsed }));
  const grpc = await openGrpc({ config, hub: measured, storage, supervisor, opening });
  supervisor.start({ name: "clock", run: (signal) => every(TICK_MS, signal, () => hub.tick()) });
  const maintenance = startRollup({ config, hub: measured, metrics, storage, supervisor, opening });

  let closing = false;
  const isServing = config.roles.includes("http");
  const graphql = isServing ? opening.use(createGraphql({ hub: measured, config })) : null;
  const rest = createRest({
    hub: measured,
    deadLetters: new DeadLetterDesk({ ...config, ...clocks, hub: measured, letters: storage.deadLetters }),
    config,
    pages,
    mounted: graphql === null ? {} : { "/graphql": (request) => graphql.fetch(request) },
    onlyOperations: !isServing,
    observe: (route, status, seconds) => metrics.observeRequest(route, status, seconds),
    documents: { schema: graphql?.sdl ?? "", protos: PROTO_FILES },
    operations: {
      version: VERSION,
      startedAt,
      metrics: async () => await metrics.text([await grpc.metrics()]),
      ready: () => readinessOf({ storage, maintenance, supervisor, closing }),
    },
  });
  const server = listen(config, (request) => rest.fetch(request));
  opening.defer(async () => {
    closing = true;
    rest.close();
    const grpcClosed = grpc.close();
    hub.endSubscriptions();
    // Deno closes WebSockets with the server, before their last words are out: so they go first.
    await graphql?.[Symbol.asyncDispose]();
    await closeServer(server);
    await grpcClosed;
  });

  const host = config.host.includes(":") ? `[${config.host}]` : config.host;
  const resources = opening.move();
  return {
    httpUrl: `http://${host}:${server.addr.port}`,
    grpcAddress: grpc.port === null ? null : `${host}:${grpc.port}`,
    [Symbol.asyncDispose]: () => resources.disposeAsync(),
  };
}

/** Whether requests can be served, and what each part says. What is beside the store is told, and decides nothing. */
async function readinessOf(
  { storage, maintenance, supervisor, closing }: {
    storage: Storage;
    maintenance: Maintenance | null;
    supervisor: Supervisor;
    closing: boolean;
  },
): Promise<{ ok: boolean; checks: Record<string, WorkerHealth> }> {
  const checks = {
    store: await storage.store.health(),
    ...(maintenance !== null && { maintenance: maintenance.health() }),
    shutdown: { ok: !closing, detail: closing ? "shutting down" : "no" },
    ...supervisor.health(),
  };
  const ok = Object.values(checks).every((check) => check.ok);
  return { ok, checks: { ...checks, ...await storage.besides() } };
}

/** Role `rollup`: what counts and cleans up; `null` without it. */
function startRollup({ config, hub, metrics, storage, supervisor, opening }: {
  config: Config;
  hub: HubApi;
  metrics: Metrics;
  storage: Storage;
  supervisor: Supervisor;
  opening: AsyncDisposableStack;
}): Maintenance | null {
  if (!config.roles.includes("rollup")) return null;
  const { store, settle } = storage;
  const maintenance = new Maintenance({
    ...config,
    ...clocks,
    store: {
      settle: settle ?? (() => store.settle()),
      purge: (receivedBefore, options) => store.purge(receivedBefore, options),
    },
  });
  supervisor.start({ name: "watchdog", run: (signal) => every(TICK_MS, signal, () => maintenance.watch()) });
  const deadLetters = metrics.deadLetters.counting(storage.deadLetters);
  for (const worker of storage.workers({ hub, deadLetters })) supervisor.start(worker);
  startCron(maintenance, opening);
  return maintenance;
}

/** gRPC runs in a Worker where the store can be reached from one, otherwise (in memory) on this thread. */
async function openGrpc(options: {
  config: Config;
  hub: HubApi;
  storage: Storage;
  supervisor: Supervisor;
  opening: AsyncDisposableStack;
}): Promise<{ port: number | null; metrics(): Promise<unknown>; close(): Promise<void> }> {
  const { config, hub, storage: { connect }, supervisor, opening } = options;
  const none = { port: null, metrics: () => Promise.resolve([]), close: () => Promise.resolve() };
  if (!config.roles.includes("grpc")) return none;
  if (connect === null) {
    const server = opening.use(await startGrpc({ hub, config }).catch((error) => cannotServeGrpc(config, error)));
    return { ...none, port: server.port, close: async () => await server[Symbol.asyncDispose]() };
  }
  const thread = new GrpcThread({ config, connect });
  supervisor.start(thread);
  const port = await thread.ready.catch((error) => cannotServeGrpc(config, error));
  return { port, metrics: () => thread.metrics(), close: () => supervisor[Symbol.asyncDispose]() };
}

function cannotServeGrpc(config: Config, cause: unknown): never {
  const reason = cause instanceof Error ? cause.message : cause;
  throw new Error(`Cannot serve gRPC on ${config.host} port ${config.grpcPort} (EVENTHUB_GRPC_PORT): ${reason}`, {
    cause,
  });
}

function startCron(maintenance: Maintenance, opening: AsyncDisposableStack): void {
  const stopping = new AbortController();
  // A pass that failed is tried again by the next tick, so the retries of Deno.cron are off.
  const cron = Deno.cron("minute", "* * * * *", { signal: stopping.signal, backoffSchedule: [] }, async () => {
    await maintenance.pass();
  });
  opening.defer(async () => {
    stopping.abort();
    await cron;
  });
}

function listen(config: Config, handler: Deno.ServeHandler<Deno.NetAddr>): Deno.HttpServer<Deno.NetAddr> {
  try {
    return Deno.serve({ hostname: config.host, port: config.httpPort, handler, onListen: () => {} });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : cause;
    throw new Error(`Cannot listen on ${config.host} port ${config.httpPort} (EVENTHUB_HTTP_PORT): ${reason}`, {
      cause,
    });
  }
}

async function closeServer(server: Deno.HttpServer): Promise<void> {
  try {
    await within(SERVER_CLOSE_MS, "Closing the HTTP server", server.shutdown());
  } catch (cause) {
    log.warn("A connection did not end in time and is cut", { cause });
  }
}
