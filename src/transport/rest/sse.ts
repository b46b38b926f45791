/**
 * Server-sent events (WHATWG HTML standard, section 9.2) out of subscriptions. Nothing is read from a subscription
 * before the client has taken what was sent: that is the flow control.
 */
import type { LiveEvent, LiveMessage, LiveSubscription } from "../../feed.ts";
import type { AggregateMessage, AggregateSubscription, WindowRow } from "../../hub.ts";
import { streamOf } from "../block_stream.ts";
import { eventJson, rowJson } from "./convert.ts";

/** Headers of every stream: it is never stored, and a proxy hands each block on at once. */
export const STREAM_HEADERS = { "cache-control": "no-store, no-transform", "x-accel-buffering": "no" };

const utf8 = new TextEncoder();
/** Rows are encoded once for all subscribers that are given the same ones. */
const encodedRows = new WeakMap<readonly WindowRow[], Uint8Array>();

/** The stream of a live subscription; it closes the subscription when the client goes away. */
export function streamEvents(subscription: LiveSubscription): ReadableStream<Uint8Array> {
  let first = true;
  return streamOf({
    ended: subscription.ended,
    close: () => subscription.close(),
    next: async () => {
      const message = await subscription.next();
      const bytes = encodeMessage(message, first);
      first = false;
      return { bytes, last: message.kind === "end" };
    },
  });
}

/** The stream of a subscription of windows. It begins with a comment, so that the client sees that it is open. */
export function streamRows(subscription: AggregateSubscription): ReadableStream<Uint8Array> {
  let first = true;
  return streamOf({
    ended: subscription.ended,
    close: () => subscription.close(),
    next: async () => {
      if (first) {
        first = false;
        return { bytes: utf8.encode(": open\n\n"), last: false };
      }
      const message = await subscription.next();
      return { bytes: encodeRows(message), last: message.kind === "end" };
    },
  });
}

/** The first block is an `id:` alone, also when a reset comes first. */
function encodeMessage(message: LiveMessage, first: boolean): Uint8Array {
  switch (message.kind) {
    case "position":
      return utf8.encode(idBlock(message.cursor));
    case "events":
      return message.batch.encode("sse", encodeEvents);
    case "reset": {
      const { reason, mode, cursor } = message;
      const block = `event: reset\nid: ${cursor}\ndata: ${JSON.stringify({ reason, mode, cursor })}\n\n`;
      return utf8.encode(first ? idBlock(cursor) + block : block);
    }
    case "end": {
      const { reason, cursor } = message;
      const block = `event: end\nid: ${cursor}\ndata: ${JSON.stringify({ reason, cursor })}\n\n`;
      return utf8.encode(first ? idBlock(cursor) + block : block);
    }
  }
}

function encodeEvents(events: readonly LiveEvent[]): Uint8Array {
  let text = "";
  for (const { event, cursor } of events) text += `event: event\nid: ${cursor}\ndata: ${eventJson(event)}\n\n`;
  return utf8.encode(text);
}

function encodeRows(message: AggregateMessage): Uint8Array {
  switch (message.kind) {
    case "alive":
      return utf8.encode(": alive\n\n");
    case "end":
      return utf8.encode(`event: end\ndata: ${JSON.stringify({ reason: message.reason })}\n\n`);
    case "rows": {
      const { rows } = message;
      const known = encodedRows.get(rows);
      if (known !== undefined) return known;
      const blocks = rows.map((row) =>
        `event: aggregate\ndata: ${JSON.stringify(rowJson(row, { percentiles: false }))}\n\n`
      );
      const bytes = utf8.encode(blocks.join(""));
      encodedRows.set(rows, bytes);
      return bytes;
    }
  }
}

function idBlock(cursor: string): string {
  return `id: ${cursor}\n\n`;
}
