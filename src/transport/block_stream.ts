/** Bodies of answers that go on: blocks of bytes out of a subscription of the hub. */
import type { EndReason } from "../feed.ts";

/** What a stream is made of. */
export interface Blocks {
  /** The next bytes, and whether they are the last. */
  next(): Promise<{ readonly bytes: Uint8Array; readonly last: boolean }>;
  /** Aborted with an `EndReason` when the hub ended the subscription, also while nobody reads. */
  readonly ended: AbortSignal;
  /** Ends the subscription from the client's side. Harmless twice. */
  close(): void;
}

/**
 * A stream that asks for a block only when its reader asks for one: that is the flow control. When the hub ends the
 * subscription while nobody reads, a client that was too slow gets nothing more (its stream ends without last block, and
 * it resumes behind what it has got), any other the last block.
 */
export function streamOf(blocks: Blocks): ReadableStream<Uint8Array> {
  let reading = false;
  let open = true;
  let controller: ReadableStreamDefaultController<Uint8Array>;
  const close = () => {
    open = false;
    blocks.ended.removeEventListener("abort", onEnded);
    blocks.close();
  };
  const pass = async () => {
    reading = true;
    try {
      const { bytes, last } = await blocks.next();
      if (!open) return;
      controller.enqueue(bytes);
      if (!last) return;
      close();
      controller.close();
    } catch (error) {
      close();
      controller.error(error);
    } finally {
      reading = false;
    }
  };
  const onEnded = () => {
    // A read that is going on brings the last block itself.
    if (reading || !open) return;
    const reason: EndReason = blocks.ended.reason;
    if (reason !== "slow_consumer") return void pass();
    close();
    // Not an error: Deno.serve prints one for each stream that has one.
    controller.close();
  };
  return new ReadableStream<Uint8Array>({
    start: (own) => {
      controller = own;
      if (blocks.ended.aborted) return;
      blocks.ended.addEventListener("abort", onEnded);
    },
    pull: () => open && !reading ? pass() : undefined,
    cancel: close,
  }, { highWaterMark: 0 });
}
