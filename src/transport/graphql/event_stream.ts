/** Results as server-sent events: the distinct connections mode of the GraphQL over SSE protocol (graphql-sse). */
import type { ExecutionResult } from "graphql";
import { ResultBatch, ResultStream } from "./result_stream.ts";

const COMPLETE = new TextEncoder().encode("event: complete\ndata:\n\n");
const SIGN_OF_LIFE = new ResultBatch([]).eventStream;
const HEADERS = {
  "content-type": "text/event-stream",
  "cache-control": "no-cache, no-transform",
  "x-accel-buffering": "no",
};

/** Whether a request asks for server-sent events before anything else. */
export function wantsEventStream(request: Request): boolean {
  return /^\s*text\/event-stream\b/i.test(request.headers.get("accept") ?? "");
}

/** The answer to a request for server-sent events: a running subscription, or a single result with its status. */
export function toEventStream(result: ResultStream | ExecutionResult, status = 200): Response {
  if (result instanceof ResultStream) return new Response(pullFrom(result), { headers: HEADERS });
  const single = new ResultBatch([result]).eventStream;
  return new Response(new Blob([single, COMPLETE]), { status, headers: HEADERS });
}

/**
 * A stream that takes from the subscription only what its reader asks for. A reader that stops is ended by the hub: then
 * everything is let go at once, and nothing more is written to it.
 */
function pullFrom(results: ResultStream): ReadableStream<Uint8Array<ArrayBuffer>> {
  let pulling = false;
  let open = true;
  let controller: ReadableStreamDefaultController<Uint8Array<ArrayBuffer>>;

  const pull = async (): Promise<void> => {
    if (pulling || !open) return;
    pulling = true;
    const { done, value } = await results.next();
    pulling = false;
    if (!open) return;
    if (!done) controller.enqueue(value.eventStream);
    if (!results.finished) return;
    open = false;
    controller.enqueue(COMPLETE);
    controller.close();
  };
  const ended = (): void => {
    // A pull that waits gets the end by itself.
    if (pulling || !open) return;
    if (results.ended.reason !== "slow_consumer") return void pull();
    // Without "complete" the client knows that it broke off. An error would be printed by the server for each of them.
    open = false;
    controller.close();
    void results.return();
  };

  return new ReadableStream({
    start(given) {
      controller = given;
      controller.enqueue(SIGN_OF_LIFE);
      results.ended.addEventListener("abort", ended, { once: true });
    },
    pull,
    async cancel() {
      open = false;
      await results.return();
    },
  }, { highWaterMark: 0 });
}
