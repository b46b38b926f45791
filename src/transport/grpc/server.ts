/** The gRPC server: both services of the contract, health and reflection, on grpc-js over node:http2. */
import "./http2_remedy.ts";
import { Server, ServerCredentials, type ServerInterceptor } from "@grpc/grpc-js";
import type { Config } from "../../config.ts";
import type { HubApi } from "../../hub.ts";
import {
  GRPC_CALLS_PER_CONNECTION_MAX,
  GRPC_CONNECTION_IDLE_MS,
  GRPC_END_GRACE_MS,
  GRPC_HEALTH_INTERVAL_MS,
  GRPC_KEEPALIVE_MS,
  GRPC_KEEPALIVE_TIMEOUT_MS,
  GRPC_MESSAGE_BYTES_MAX,
  SUBSCRIBER_STALL_MS,
} from "../../limits.ts";
import { belatedOf, OpenCalls, type Services, type Timing } from "./calls.ts";
import { withDetails } from "./errors.ts";
import { addCompat } from "./handlers_compat.ts";
import { addPublish } from "./handlers_publish.ts";
import { addPublishStream } from "./handlers_publish_stream.ts";
import { addQuery } from "./handlers_query.ts";
import { addSubscribe } from "./handlers_subscribe.ts";
import { Health } from "./health.ts";
import { addReflection } from "./reflection.ts";

const SERVICES = ["event.EventService", "eventhub.v1.EventHubService"];
const HEALTH_SERVICE = "grpc.health.v1.Health";
const REFLECTION_SERVICE = "grpc.reflection.v1.ServerReflection";

const TIMING: Timing = {
  stallMs: SUBSCRIBER_STALL_MS,
  endGraceMs: GRPC_END_GRACE_MS,
  healthIntervalMs: GRPC_HEALTH_INTERVAL_MS,
};

/** What {@link startGrpc} needs. */
export interface GrpcOptions {
  readonly hub: HubApi;
  readonly config: Config;
  /** Other times, for tests. */
  readonly timing?: Partial<Timing>;
}

/** A server that listens. Disposing ends its streams with their cursors, lets calls finish, and closes it. */
export interface GrpcServer extends AsyncDisposable {
  readonly port: number;
}

/** Starts the server on the configured address; port 0 is any free one. Rejects when it cannot listen. */
export async function startGrpc(options: GrpcOptions): Promise<GrpcServer> {
  const { hub, config } = options;
  const server = new Server({
    "grpc.max_receive_message_length": GRPC_MESSAGE_BYTES_MAX,
    // Answers are bounded where they are made.
    "grpc.max_send_message_length": GRPC_MESSAGE_BYTES_MAX,
    "grpc.max_concurrent_streams": GRPC_CALLS_PER_CONNECTION_MAX,
    "grpc.keepalive_time_ms": GRPC_KEEPALIVE_MS,
    "grpc.keepalive_timeout_ms": GRPC_KEEPALIVE_TIMEOUT_MS,
    // The age of connections is kept by http2_remedy.ts.
    "grpc.max_connection_idle_ms": GRPC_CONNECTION_IDLE_MS,
    interceptors: [completeStatuses],
  });
  detailUnknownMethods(server);
  const services: Services = {
    hub,
    config,
    calls: new OpenCalls(),
    timing: { ...TIMING, ...options.timing },
  };
  const health = new Health(hub, { services: SERVICES, timing: services.timing });
  addCompat(server, services);
  addPublish(server, services);
  addPublishStream(server, services);
  addQuery(server, services);
  addSubscribe(server, services);
  health.addTo(server, services.calls);
  if (config.reflection === "on") {
    addReflection(server, { ...services, services: [...SERVICES, HEALTH_SERVICE, REFLECTION_SERVICE] });
  }
  const port = await listen(server, config);
  let closing: Promise<void> | undefined;
  const close = async () => {
    health.stop();
    services.calls.stop();
    // Half of the time: what is below the server must be closed too.
    await shutDown(server, { calls: services.calls, deadlineMs: config.shutdownTimeoutMs / 2 });
  };
  return { port, [Symbol.asyncDispose]: () => closing ??= close() };
}

type ServerStatus = Parameters<typeof withDetails>[0];

/** Gives the statuses that grpc-js makes by itself the details of ours. */
const completeStatuses: ServerInterceptor = (_method, call) => {
  const sendStatus = call.sendStatus.bind(call);
  call.sendStatus = (status) => sendStatus(withDetails(status, belatedOf(call)));
  return call as ReturnType<ServerInterceptor>;
};

/** A method that does not exist is answered without asking interceptors; the version is pinned, and a test looks at it. */
function detailUnknownMethods(server: Server): void {
  const inner = server as unknown as { _respondWithError(error: ServerStatus, ...rest: unknown[]): void };
  const respond = inner._respondWithError.bind(server);
  inner._respondWithError = (error, ...rest) => respond(withDetails(error), ...rest);
}

function listen(server: Server, { host, grpcPort }: Config): Promise<number> {
  const address = `${host.includes(":") ? `[${host}]` : host}:${grpcPort}`;
  return new Promise((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, port) => {
      if (error === null) return resolve(port);
      server.forceShutdown();
      reject(error);
    });
  });
}

/** Lets calls finish, then connections, and cuts what is left after a deadline. Never rejects. */
function shutDown(server: Server, options: { calls: OpenCalls; deadlineMs: number }): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => {
      server.forceShutdown();
      resolve();
    }, options.deadlineMs);
    // Calls first: closing a connection cancels its keep-alive, which grpc-js takes for the death of the client.
    options.calls.whenAnswered().then(() =>
      server.tryShutdown(() => {
        clearTimeout(timer);
        resolve();
      })
    );
  });
}
