/**
 * Following the live log over gRPC `Subscribe`, spoken on HTTP/2 itself: a client of grpc-js drops the messages it has not
 * handed out yet when the status is an error, and then the cursor of that status is beyond what was seen.
 */
import "./http2_client_remedy.ts";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import { SubscribeRequest, SubscribeResponse } from "../../src/gen/eventhub/v1/eventhub.ts";
import { ErrorInfo } from "../../src/gen/google/rpc/error_details.ts";
import { Status } from "../../src/gen/google/rpc/status.ts";
import type { FollowEnd, FollowOptions } from "./follow.ts";

const SUBSCRIBE_PATH = "/eventhub.v1.EventHubService/Subscribe";
const ERROR_INFO_TYPE = "type.googleapis.com/google.rpc.ErrorInfo";
const HEAD_BYTES = 5;
/** Statuses with which the hub ends a subscription that can go on: RESOURCE_EXHAUSTED and UNAVAILABLE. */
const END_STATUSES: ReadonlySet<string> = new Set(["8", "14"]);

/** Follows on a connection of its own; cutting it destroys the connection. */
export function followGrpc({ hub, after, signal, onEvent, onReset }: FollowOptions): Promise<FollowEnd> {
  const { promise, resolve } = Promise.withResolvers<FollowEnd>();
  const session = http2.connect(`http://${hub.grpcAddress}`);
  const cut = () => {
    session.destroy();
    resolve({ kind: "cut" });
  };
  signal.addEventListener("abort", cut);
  session.on("error", (error) => resolve({ kind: "lost", detail: String(error) }));
  const stream = session.request({
    ":method": "POST",
    ":path": SUBSCRIBE_PATH,
    "content-type": "application/grpc",
    te: "trailers",
  });
  const messages = new MessageReader((bytes) => {
    if (signal.aborted) return;
    const { message } = SubscribeResponse.decode(bytes);
    if (message?.$case === "event") onEvent(message.event.event!.id, message.event.cursor);
    if (message?.$case !== "reset") return;
    if (onReset === undefined) resolve({ kind: "lost", detail: `reset ${JSON.stringify(message.reset)}` });
    else onReset({ ...message.reset, reason: String(message.reset.reason), mode: String(message.reset.mode) });
  });
  let trailers: http2.IncomingHttpHeaders = {};
  const note = (headers: http2.IncomingHttpHeaders) => {
    if (headers["grpc-status"] !== undefined) trailers = headers;
  };
  stream.on("response", note);
  stream.on("trailers", note);
  stream.on("data", (bytes: Uint8Array) => messages.push(bytes));
  stream.on("error", (error) => resolve({ kind: "lost", detail: String(error) }));
  stream.on("end", () => setImmediate(() => resolve(endOf(trailers))));
  stream.on("close", () => resolve(endOf(trailers)));
  const request = SubscribeRequest.encode({ after }).finish();
  const head = Buffer.alloc(HEAD_BYTES);
  head.writeUInt32BE(request.length, 1);
  stream.end(Buffer.concat([head, request]));
  return promise.finally(() => {
    signal.removeEventListener("abort", cut);
    session.destroy();
  });
}

/** Cuts a stream of bytes into gRPC messages. */
class MessageReader {
  readonly #onMessage: (bytes: Uint8Array) => void;
  #rest = Buffer.alloc(0);

  constructor(onMessage: (bytes: Uint8Array) => void) {
    this.#onMessage = onMessage;
  }

  push(bytes: Uint8Array): void {
    let rest = this.#rest.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#rest, bytes]);
    while (rest.length >= HEAD_BYTES) {
      const end = HEAD_BYTES + rest.readUInt32BE(1);
      if (rest.length < end) break;
      this.#onMessage(rest.subarray(HEAD_BYTES, end));
      rest = rest.subarray(end);
    }
    this.#rest = rest;
  }
}

function endOf(trailers: http2.IncomingHttpHeaders): FollowEnd {
  const info = errorInfo(trailers["grpc-status-details-bin"]);
  const cursor = info?.metadata.get("cursor");
  if (!END_STATUSES.has(String(trailers["grpc-status"])) || cursor === undefined) {
    const { "grpc-status": status = "no status", "grpc-message": message = "" } = trailers;
    return { kind: "lost", detail: `ended with ${status} ${message}` };
  }
  return { kind: "ended", reason: info!.reason, cursor };
}

function errorInfo(details: string | string[] | undefined): ErrorInfo | null {
  if (typeof details !== "string") return null;
  const status = Status.decode(Buffer.from(details, "base64"));
  const any = status.details.find(({ typeUrl }) => typeUrl === ERROR_INFO_TYPE);
  return any === undefined ? null : ErrorInfo.decode(any.value);
}
