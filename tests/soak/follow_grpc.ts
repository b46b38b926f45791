/** Following the live log over gRPC `Subscribe`. */
import { type ServiceError, status } from "@grpc/grpc-js";
import { ErrorInfo } from "../../src/gen/google/rpc/error_details.ts";
import { Status } from "../../src/gen/google/rpc/status.ts";
import type { FollowEnd, FollowOptions } from "./follow.ts";
import { grpcClient } from "./send_grpc.ts";

const ERROR_INFO_TYPE = "type.googleapis.com/google.rpc.ErrorInfo";
/** With these the hub ends a subscription that can go on with the cursor of the error. */
const END_CODES: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.RESOURCE_EXHAUSTED]);

/** Follows on a connection of its own; cutting it cancels the call and closes the connection. */
export function followGrpc({ hub, after, signal, onEvent }: FollowOptions): Promise<FollowEnd> {
  const { promise, resolve } = Promise.withResolvers<FollowEnd>();
  const client = grpcClient(hub.grpcAddress);
  const call = client.subscribe({ after });
  const cut = () => {
    call.cancel();
    resolve({ kind: "cut" });
  };
  signal.addEventListener("abort", cut);
  if (signal.aborted) cut();
  call.on("data", ({ message }) => {
    if (signal.aborted) return;
    if (message?.$case === "event") onEvent(message.event.event!.id, message.event.cursor);
    if (message?.$case === "reset") resolve({ kind: "lost", detail: `reset ${JSON.stringify(message.reset)}` });
  });
  call.on("error", (error: ServiceError) => resolve(endOf(error)));
  call.on("end", () => resolve({ kind: "lost", detail: "the stream ended without a word" }));
  return promise.finally(() => {
    signal.removeEventListener("abort", cut);
    call.cancel();
    client.close();
  });
}

function endOf(error: ServiceError): FollowEnd {
  const info = errorInfo(error);
  const cursor = info?.metadata.get("cursor");
  if (!END_CODES.has(error.code) || cursor === undefined) return { kind: "lost", detail: String(error) };
  return { kind: "ended", reason: info!.metadata.get("reason") ?? info!.reason, cursor };
}

function errorInfo(error: ServiceError): ErrorInfo | null {
  const details = error.metadata?.get("grpc-status-details-bin")[0];
  if (!(details instanceof Uint8Array)) return null;
  const any = Status.decode(details).details.find(({ typeUrl }) => typeUrl === ERROR_INFO_TYPE);
  return any === undefined ? null : ErrorInfo.decode(any.value);
}
