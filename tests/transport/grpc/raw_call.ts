/** gRPC calls that no client would make: bytes to a path, and whatever comes back. */
import "../../soak/http2_client_remedy.ts";
import type { ServiceError } from "@grpc/grpc-js";
import { Metadata } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import { type Refusal, refusalOf } from "./client.ts";

/** Where calls go when nothing else is said. */
export const PUBLISH = "/eventhub.v1.EventHubService/Publish";

/** Sends one request with headers of the test's own; answers with headers and trailers. */
export async function rawCall(
  port: number,
  options: { path?: string; headers?: http2.OutgoingHttpHeaders; body?: Buffer },
): Promise<Record<string, unknown>> {
  const { path = PUBLISH, headers = {}, body = Buffer.alloc(5) } = options;
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    return await new Promise((resolve, reject) => {
      session.on("error", reject);
      const stream = session.request({
        ":method": "POST",
        ":path": path,
        "content-type": "application/grpc",
        te: "trailers",
        ...headers,
      });
      const answer: Record<string, unknown> = {};
      stream.on("response", (found) => Object.assign(answer, found));
      stream.on("trailers", (found) => Object.assign(answer, found));
      stream.on("error", (error) => Object.assign(answer, { error: error.message }));
      stream.on("close", () => resolve({ ...answer, rst: stream.rstCode }));
      stream.resume();
      stream.end(body);
    });
  } finally {
    await new Promise<void>((resolve) => session.close(resolve));
  }
}

export function framed(bytes: Uint8Array, compressed = 0): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed;
  head.writeUInt32BE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** The status in what came back, with its details. */
export function statusIn(answer: Record<string, unknown>): Refusal {
  const metadata = new Metadata();
  const details = answer["grpc-status-details-bin"];
  if (typeof details === "string") metadata.set("grpc-status-details-bin", Buffer.from(details, "base64"));
  const code = Number(answer["grpc-status"]);
  return refusalOf({ code, details: String(answer["grpc-message"]), metadata } as ServiceError);
}
