/** What the gRPC tests stand on: a server over a test hub, and clients that answer with promises. */
import "./environment.ts";
import "../../../src/transport/grpc/http2_remedy.ts";
import "../../soak/http2_client_remedy.ts";
import {
  type CallOptions,
  Client,
  type ClientOptions,
  credentials,
  Metadata,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import type { Buffer } from "node:buffer";
import type { ErrorCode } from "../../../src/errors.ts";
import type { HubApi } from "../../../src/hub.ts";
import * as compat from "../../../src/gen/event.ts";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import { BadRequest, ErrorInfo, RetryInfo } from "../../../src/gen/google/rpc/error_details.ts";
import { Status } from "../../../src/gen/google/rpc/status.ts";
import { HealthService } from "../../../src/gen/grpc/health/v1/health.ts";
import { ServerReflectionService } from "../../../src/gen/grpc/reflection/v1/reflection.ts";
import { type GrpcOptions, startGrpc } from "../../../src/transport/grpc/server.ts";
import { openTestHub, testConfig, type TestHub, type TestHubOptions } from "../../harness.ts";

/** Whether tests may open sockets. */
export const mayListen = Deno.permissions.querySync({ name: "net", host: "127.0.0.1" }).state === "granted" &&
  Deno.permissions.querySync({ name: "env" }).state === "granted";

/** A test over real sockets. */
export function socketTest(name: string, fn: () => Promise<void>): void {
  const needs = mayListen ? "" : " (needs --allow-net and --allow-env: deno task test)";
  Deno.test({ name: `grpc: ${name}${needs}`, ignore: !mayListen, fn });
}

/** Settings of {@link openServer}. */
export type ServerOptions = TestHubOptions & Partial<Omit<GrpcOptions, "hub">> & {
  readonly wrapHub?: (hub: HubApi) => HubApi;
};

/** A hub, its server, and one client of it. */
export interface TestServer extends TestHub {
  readonly port: number;
  readonly client: TestClient;
  /** Another connection. */
  connect(options?: ClientOptions): TestClient;
  /** Closes the server alone; the rest goes with the whole. */
  shutDown(): Promise<void>;
}

/** Starts a server on a free port over the memory drivers. */
export async function openServer(options: ServerOptions = {}): Promise<TestServer> {
  const { wrapHub = (hub) => hub, config = testConfig(), timing, ...hubOptions } = options;
  const stack = new AsyncDisposableStack();
  const hub = stack.use(openTestHub(hubOptions));
  const server = stack.use(await startGrpc({ hub: wrapHub(hub.hub), config, timing }));
  const connect = (clientOptions?: ClientOptions) => stack.use(new TestClient(server.port, clientOptions));
  return {
    ...hub,
    port: server.port,
    client: connect(),
    connect,
    shutDown: async () => await server[Symbol.asyncDispose](),
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

/** What a call ended with. */
export interface Refusal {
  readonly code: number;
  readonly details: string;
  readonly reason: ErrorCode | null;
  readonly info: Readonly<Record<string, string>>;
  readonly fields: Readonly<Record<string, string>>;
  readonly retrySeconds: number | null;
}

/** The status and google.rpc details of an error of grpc-js. */
export function refusalOf(error: ServiceError): Refusal {
  const trailer = error.metadata?.get("grpc-status-details-bin")[0];
  const details = trailer === undefined ? [] : Status.decode(trailer as Buffer).details;
  const find = (name: string) =>
    details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/google.rpc.${name}`)?.value;
  const [info, bad, retry] = [find("ErrorInfo"), find("BadRequest"), find("RetryInfo")];
  const errorInfo = info === undefined ? null : ErrorInfo.decode(info);
  const violations = bad === undefined ? [] : BadRequest.decode(bad).fieldViolations;
  return {
    code: error.code,
    details: error.details,
    reason: (errorInfo?.reason ?? null) as ErrorCode | null,
    info: Object.fromEntries(errorInfo?.metadata ?? []),
    fields: Object.fromEntries(violations.map(({ field, reason }) => [field, reason])),
    retrySeconds: retry === undefined ? null : Number(RetryInfo.decode(retry).retryDelay?.seconds ?? 0),
  };
}

/** An object with some of its members replaced; the others work on the original. */
export function replaced<T extends object>(original: T, members: Partial<T>): T {
  return new Proxy(original, {
    get(target, key) {
      const value = Reflect.get(Object.hasOwn(members, key) ? members : target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const same = (bytes: Buffer) => bytes;

/** A method whose requests are bytes, whatever they hold. */
export function withBytes<Request, Response>(
  method: MethodDefinition<Request, Response>,
): MethodDefinition<Buffer, Response> {
  return { ...method, requestSerialize: same, requestDeserialize: same };
}

/** A client whose calls are promises; methods by their generated definitions. */
export class TestClient implements Disposable {
  readonly #client: Client;

  constructor(port: number, options: ClientOptions = {}) {
    this.#client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
      // A connection of its own.
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  /** Calls a unary method; rejects with the {@link ServiceError}. */
  unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions & { metadata?: Metadata } = {},
  ): Promise<Response> {
    const { metadata = new Metadata(), ...rest } = options;
    return new Promise((resolve, reject) =>
      this.#client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        metadata,
        rest,
        (error, response) => error === null ? resolve(response!) : reject(error),
      )
    );
  }

  /** Calls a unary method that must fail. */
  async refused<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options?: CallOptions & { metadata?: Metadata },
  ): Promise<Refusal> {
    try {
      await this.unary(method, request, options);
    } catch (error) {
      return refusalOf(error as ServiceError);
    }
    throw new Error(`${method.path} should have failed`);
  }

  /** Calls a unary method with bytes. */
  async refusedBytes(path: string, bytes: Buffer): Promise<Refusal> {
    const method = { path, requestSerialize: same, responseDeserialize: same } as MethodDefinition<Buffer, Buffer>;
    return await this.refused(method, bytes);
  }

  /** Opens a stream of answers. */
  serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: CallOptions = {},
  ) {
    return this.#client.makeServerStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      options,
    );
  }

  /** Opens a stream both ways. */
  duplex<Request, Response>(method: MethodDefinition<Request, Response>, options: CallOptions = {}) {
    return this.#client.makeBidiStreamRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      options,
    );
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }
}

/** The methods under test. */
export const hubMethods = v1.EventHubServiceService;
export const compatMethods = compat.EventServiceService;
export const healthMethods = HealthService;
export const reflectionMethods = ServerReflectionService;
