/** Results as server-sent events: the distinct connections mode of the GraphQL over SSE protocol (graphql-sse). */
import type { ExecutionResult } from "graphql";
import { type Blocks, streamOf } from "../block_stream.ts";
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
  if (result instanceof ResultStream) return new Response(streamOf(blocksOf(result)), { headers: HEADERS });
  const single = new ResultBatch([result]).eventStream;
  return new Response(new Blob([single, COMPLETE]), { status, headers: HEADERS });
}

/** The blocks of a subscription: a sign of life at once, so that the headers go out, then what comes. */
function blocksOf(results: ResultStream): Blocks {
  let first = true;
  return {
    ended: results.ended,
    close: () => void results.return(),
    next: async () => {
      if (first) {
        first = false;
        return { bytes: SIGN_OF_LIFE, last: false };
      }
      const { value } = await results.next();
      if (!results.finished) return { bytes: value!.eventStream, last: false };
      return { bytes: await new Blob([value?.eventStream ?? "", COMPLETE]).bytes(), last: true };
    },
  };
}
