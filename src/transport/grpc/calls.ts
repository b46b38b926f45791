/** What every call has in common: bytes in, a handler, bytes or a status out. */
import type { MethodDefinition, Server, ServerUnaryCall, ServerWritableStream } from "@grpc/grpc-js";
import type { sendUnaryData, ServerDuplexStream } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { HubError } from "../../errors.ts";
import type { HubApi, Sender } from "../../hub.ts";
import type { Config } from "../../config.ts";
import { type Decoded, safely } from "./decode.ts";
import { statusOf } from "./errors.ts";
import { Outlet } from "./outlet.ts";

/** What handlers stand on. */
export interface Services {
  readonly hub: HubApi;
  readonly config: Config;
  readonly calls: OpenCalls;
  readonly timing: Timing;
}

/** Times that tests cannot wait for. */
export interface Timing {
  /** How long a client may leave the answers of its stream unread. */
  readonly stallMs: number;
  /** How long a client that is told the end of its stream may take to read what came before. */
  readonly endGraceMs: number;
  /** How often the health of the store is looked at while somebody watches it. */
  readonly healthIntervalMs: number;
}

/** Who calls. Without credentials everybody is the one tenant. */
export const SENDER: Sender = { tenant: "default", source: "grpc" };

/** Path and encoder of a method as ts-proto gives them. */
export type Method<Response> = Pick<MethodDefinition<never, Response>, "path" | "responseSerialize">;

/** What the status of a passed deadline is to say of a request: grpc-js makes that status without asking its handler. */
export interface Belated {
  /** The id the hub gave to the event of the request. */
  id?: string;
  /** Whether the same request may be sent again: not one with events whose ids nobody knows. */
  repeatable: boolean;
}

/** By the call below the one that a handler is given, which is the one that interceptors see. */
const belated = new WeakMap<object, Belated>();

function below(call: unknown): object {
  return (call as { call: object }).call;
}

/** Whether what a client sent ended inside a message, which grpc-js takes for a good end; the version is pinned. */
export function endedInsideMessage(call: unknown): boolean {
  const { decoder } = below(call) as { decoder?: { readState?: number } };
  if (typeof decoder?.readState !== "number") {
    throw new Error("Cannot find the decoder of a call: is grpc-js another version?");
  }
  return decoder.readState !== 0;
}

/** What is to be said of a call whose deadline has passed; `undefined` when its handler had not begun. */
export function belatedOf(callBelow: object): Belated | undefined {
  return belated.get(callBelow);
}

/** How to make a unary method of a function. */
export interface UnaryOptions<Request, Response> {
  /** Without it, the method also answers while the server shuts down. */
  readonly calls?: OpenCalls;
  readonly method: Method<Response>;
  readonly decode: (bytes: Uint8Array) => Request;
  /** What it puts into `late` is told when the deadline passes before it answers. */
  readonly handle: (request: Request, late: Belated) => Promise<Response>;
  /** The hub's field errors are those of the message in the field `event`. */
  readonly inEvent?: boolean;
}

/** Adds a unary method. */
export function addUnary<Request, Response>(server: Server, options: UnaryOptions<Request, Response>): void {
  const { calls, method, decode, handle, inEvent } = options;
  const answer = (call: ServerUnaryCall<Decoded<Request>, Response>, callback: sendUnaryData<Response>) => {
    const { request, metadata } = call;
    // It has its status, which says that nothing was done.
    if (call.cancelled) return;
    if (!request.ok) return callback(statusOf(request.error, { metadata }));
    const late: Belated = { repeatable: true };
    belated.set(below(call), late);
    const answering = calls === undefined
      ? handle(request.message, late)
      : calls.answer(() => handle(request.message, late));
    answering.then(
      (response) => callback(null, response),
      (error) => callback(statusOf(error, { metadata, inEvent })),
    );
  };
  server.register(method.path, answer, method.responseSerialize, safely(decode), "unary");
}

/** Adds a method that answers with a stream. The handler writes to the outlet; what it throws ends the call. */
export function addServerStream<Request>(
  server: Server,
  options: {
    readonly timing: Timing;
    readonly path: string;
    readonly decode: (bytes: Uint8Array) => Request;
    readonly handle: (request: Request, outlet: Outlet) => Promise<void>;
  },
): void {
  const answer = (call: ServerWritableStream<Decoded<Request>, never>) => {
    const outlet = new Outlet(call as unknown as ServerWritableStream<unknown, unknown>, options.timing);
    if (!call.request.ok) return outlet.fail(call.request.error);
    options.handle(call.request.message, outlet).catch((error) => outlet.fail(error));
  };
  server.register(options.path, answer, asBytes, safely(options.decode), "serverStream");
}

/** Adds a method with a stream both ways; the handler reads `data` of the call and writes to the outlet. */
export function addDuplexStream<Request>(
  server: Server,
  options: {
    readonly timing: Timing;
    readonly path: string;
    readonly decode: (bytes: Uint8Array) => Request;
    readonly handle: (call: ServerDuplexStream<Decoded<Request>, never>, outlet: Outlet) => void;
  },
): void {
  const answer = (call: ServerDuplexStream<Decoded<Request>, never>) => {
    // What of it was not answered may be sent again, but not the whole.
    belated.set(below(call), { repeatable: false });
    options.handle(call, new Outlet(call as unknown as ServerDuplexStream<unknown, unknown>, options.timing));
  };
  server.register(options.path, answer, asBytes, safely(options.decode), "bidi");
}

/** Outlets write frames themselves, so that nothing is left for grpc-js to encode. */
function asBytes(message: unknown): Buffer {
  return message as Buffer;
}

/** The calls that are under way, so that the server can shut down in order. */
export class OpenCalls {
  readonly #stops = new Set<() => void>();
  #answering = 0;
  #answered = Promise.withResolvers<void>();
  #stopped = false;

  /** Keeps a stream in mind until its call is over; `stop` ends it in order. */
  addStream(outlet: Outlet, stop: () => void): void {
    this.#check();
    this.#stops.add(stop);
    outlet.over.addEventListener("abort", () => this.#stops.delete(stop));
  }

  /** Answers one request; refuses when the server is shutting down. */
  async answer<Response>(handle: () => Promise<Response>): Promise<Response> {
    this.#check();
    this.#answering += 1;
    try {
      return await handle();
    } finally {
      this.#answering -= 1;
      this.#look();
    }
  }

  /** Ends all streams; new calls are refused from now on. */
  stop(): void {
    this.#stopped = true;
    for (const stop of [...this.#stops]) stop();
    this.#look();
  }

  /** Resolves when, after {@link stop}, no request is without an answer. */
  whenAnswered(): Promise<void> {
    return this.#answered.promise;
  }

  #check(): void {
    if (this.#stopped) throw new HubError("unavailable", "The hub is shutting down");
  }

  #look(): void {
    if (this.#stopped && this.#answering === 0) this.#answered.resolve();
  }
}
