/** The four subscriptions as raw bytes, for a client that sends its request and then reads nothing until much later. */
import { SubscribeRequest, SubscribeResponse } from "../../src/gen/eventhub/v1/eventhub.ts";
import type { FollowProtocol } from "./follow.ts";
import { SseParser } from "./sse.ts";

/** An event as a subscriber gets it. */
export interface Received {
  readonly id: string;
  readonly cursor: string;
}

/** What is in the bytes a subscription was answered with; a last message that is cut off is left out. */
export type ReadAnswer = (bytes: Uint8Array) => Received[];

const SUBSCRIPTION = "subscription ($after: String) { eventStream(after: $after) " +
  "{ id userId eventType amount timestamp receivedAt source cursor } }";

/** What is sent, piece by piece: before the next piece, the answer must contain the text of `await`. */
export interface Piece {
  readonly bytes: Uint8Array;
  readonly await?: string;
}

/** How to open a subscription behind a cursor on a raw socket. */
export function opening(protocol: FollowProtocol, { host, after }: { host: string; after: string }): Piece[] {
  switch (protocol) {
    case "sse":
      return [{ bytes: text(`GET /events/stream HTTP/1.1\r\nHost: ${host}\r\nLast-Event-ID: ${after}\r\n\r\n`) }];
    case "graphql-sse": {
      const body = JSON.stringify({ query: SUBSCRIPTION, variables: { after } });
      return [{
        bytes: text(
          `POST /graphql HTTP/1.1\r\nHost: ${host}\r\nAccept: text/event-stream\r\n` +
            `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
        ),
      }];
    }
    case "graphql-ws":
      return [
        {
          bytes: text(
            `GET /graphql HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
              "Sec-WebSocket-Protocol: graphql-transport-ws\r\n\r\n",
          ),
          await: "\r\n\r\n",
        },
        { bytes: maskedFrame({ type: "connection_init" }), await: "connection_ack" },
        {
          bytes: maskedFrame({ type: "subscribe", id: "1", payload: { query: SUBSCRIPTION, variables: { after } } }),
        },
      ];
    case "grpc":
      return [{ bytes: http2Opening(host, SubscribeRequest.encode({ after }).finish()) }];
  }
}

/** How to read what came for a subscription of {@link opening}. */
export const ANSWERS: Record<FollowProtocol, ReadAnswer> = {
  "sse": (bytes) => readMessages(bytes, "event").map(({ id, data }) => ({ id: JSON.parse(data).id, cursor: id! })),
  "graphql-sse": (bytes) => readMessages(bytes, "next").flatMap(({ data }) => eventOf(JSON.parse(data))),
  "graphql-ws": (bytes) => readFrames(bytes).flatMap((message) => eventOf(message.payload)),
  "grpc": readGrpc,
};

function text(value: string): Uint8Array {
  return new TextEncoder().encode(value);
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    bytes.set(part, offset);
    offset += part.length;
  }
  return bytes;
}

function bodyStart(bytes: Uint8Array): number {
  for (let index = 3; index < bytes.length; index++) {
    if (bytes[index] === 10 && bytes[index - 1] === 13 && bytes[index - 2] === 10 && bytes[index - 3] === 13) {
      return index + 1;
    }
  }
  return bytes.length;
}

/** The SSE messages of an HTTP/1.1 answer in chunks (RFC 9112, section 7.1). */
function readMessages(bytes: Uint8Array, event: string) {
  const chunks: Uint8Array[] = [];
  const decoder = new TextDecoder();
  let offset = bodyStart(bytes);
  while (offset < bytes.length) {
    const lineEnd = bytes.indexOf(10, offset);
    if (lineEnd < 0) break;
    const length = parseInt(decoder.decode(bytes.subarray(offset, lineEnd)), 16);
    if (!(length > 0)) break;
    chunks.push(bytes.subarray(lineEnd + 1, lineEnd + 1 + length));
    offset = lineEnd + 1 + length + 2;
  }
  return new SseParser().push(decoder.decode(joined(chunks))).filter((message) => message.event === event);
}

function eventOf(result: { data?: { eventStream?: Received } } | undefined): Received[] {
  const event = result?.data?.eventStream;
  return event === undefined ? [] : [{ id: event.id, cursor: event.cursor }];
}

/** A text frame of a client (RFC 6455, section 5.2), its mask being zero. */
function maskedFrame(message: unknown): Uint8Array {
  const payload = text(JSON.stringify(message));
  if (payload.length > 65_535) throw new Error("Cannot frame more than 65,535 bytes");
  const short = payload.length < 126;
  const head = short ? [0x81, 0x80 | payload.length] : [0x81, 0xfe, payload.length >> 8, payload.length & 255];
  return joined([new Uint8Array([...head, 0, 0, 0, 0]), payload]);
}

function readFrames(bytes: Uint8Array): { payload?: { data?: { eventStream?: Received } } }[] {
  const messages = [];
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let offset = bodyStart(bytes);
  while (offset + 2 <= bytes.length) {
    const opcode = bytes[offset]! & 15;
    let length = bytes[offset + 1]! & 127;
    offset += 2;
    if (length === 126 && offset + 2 <= bytes.length) {
      length = view.getUint16(offset);
      offset += 2;
    } else if (length === 127 && offset + 8 <= bytes.length) {
      length = Number(view.getBigUint64(offset));
      offset += 8;
    }
    if (offset + length > bytes.length) break;
    if (opcode === 1) messages.push(JSON.parse(new TextDecoder().decode(bytes.subarray(offset, offset + length))));
    offset += length;
  }
  return messages;
}

const FRAME_DATA = 0;
const FRAME_HEADERS = 1;
const FRAME_SETTINGS = 4;
const FLAG_END_STREAM = 1;
const FLAG_END_HEADERS = 4;

/** Preface, SETTINGS and one request on stream 1 (RFC 9113), headers as literals without indexing (RFC 7541). */
function http2Opening(host: string, message: Uint8Array): Uint8Array {
  const headers = [
    [":method", "POST"],
    [":scheme", "http"],
    [":path", "/eventhub.v1.EventHubService/Subscribe"],
    [":authority", host],
    ["content-type", "application/grpc"],
    ["te", "trailers"],
  ];
  const block = headers.flatMap(([name, value]) => [0, ...hpackText(name!), ...hpackText(value!)]);
  return joined([
    text("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    http2Frame(FRAME_SETTINGS, 0, { stream: 0, payload: new Uint8Array() }),
    http2Frame(FRAME_HEADERS, FLAG_END_HEADERS, { stream: 1, payload: new Uint8Array(block) }),
    http2Frame(FRAME_DATA, FLAG_END_STREAM, { stream: 1, payload: joined([messageHead(message.length), message]) }),
  ]);
}

function hpackText(value: string): number[] {
  const bytes = text(value);
  if (bytes.length >= 127) throw new Error("Cannot write a header of more than 126 bytes");
  return [bytes.length, ...bytes];
}

function messageHead(length: number): Uint8Array {
  const head = new Uint8Array(5);
  new DataView(head.buffer).setUint32(1, length);
  return head;
}

function http2Frame(type: number, flags: number, { stream, payload }: { stream: number; payload: Uint8Array }) {
  const length = payload.length;
  const head = [length >> 16, (length >> 8) & 255, length & 255, type, flags, 0, 0, 0, stream];
  return joined([new Uint8Array(head), payload]);
}

function readGrpc(bytes: Uint8Array): Received[] {
  const parts: Uint8Array[] = [];
  for (let offset = 0; offset + 9 <= bytes.length;) {
    const length = (bytes[offset]! << 16) | (bytes[offset + 1]! << 8) | bytes[offset + 2]!;
    if (bytes[offset + 3] === FRAME_DATA) parts.push(bytes.subarray(offset + 9, offset + 9 + length));
    offset += 9 + length;
  }
  const messages = joined(parts);
  const view = new DataView(messages.buffer);
  const received: Received[] = [];
  for (let offset = 0; offset + 5 <= messages.length;) {
    const length = view.getUint32(offset + 1);
    if (offset + 5 + length > messages.length) break;
    const { message } = SubscribeResponse.decode(messages.subarray(offset + 5, offset + 5 + length));
    if (message?.$case === "event") received.push({ id: message.event.event!.id, cursor: message.event.cursor });
    offset += 5 + length;
  }
  return received;
}
