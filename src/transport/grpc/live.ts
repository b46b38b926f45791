/** Moves the messages of a live subscription to a call, at the pace of whoever reads there. */
import { type ErrorCode, HubError } from "../../errors.ts";
import type { EndReason, LiveBatch, LiveMessage, LiveSubscription } from "../../feed.ts";
import type { OpenCalls } from "./calls.ts";
import type { Chunk, Outlet } from "./outlet.ts";

/** How a call shows what a subscription gives: frames with the cursor behind them. */
export interface LiveFormat {
  /** Events, in order. */
  events(batch: LiveBatch): readonly Chunk[];
  /** The cursor moved; nothing where clients cannot use it. */
  position(cursor: string): readonly Chunk[];
  /** Continuity is lost; throws `cursor_reset` where there is no other way to say so. */
  reset(message: Extract<LiveMessage, { kind: "reset" }>): readonly Chunk[];
}

const END_CODES = {
  slow_consumer: "slow_consumer",
  shutdown: "unavailable",
  unavailable: "unavailable",
  revoked: "permission_denied",
  expired_credential: "unauthenticated",
} as const satisfies Record<EndReason, ErrorCode>;

const END_MESSAGES: Readonly<Record<EndReason, string>> = {
  slow_consumer: "The stream was not read for too long",
  shutdown: "The hub is shutting down",
  unavailable: "The live log cannot be read",
  revoked: "The credential was revoked",
  expired_credential: "The credential has expired",
};

/** Why the hub ends a stream, and where to go on. */
export function endError(reason: EndReason, cursor: string): HubError {
  return new HubError(END_CODES[reason], END_MESSAGES[reason], { cursor });
}

/** How to {@link follow}. */
export interface FollowOptions {
  readonly outlet: Outlet;
  readonly format: LiveFormat;
  readonly calls: OpenCalls;
  /** Written before anything is asked of the subscription. */
  readonly first?: readonly Chunk[];
}

/**
 * Follows a subscription until the call is over or the hub ends it. Nothing is asked of the subscription before the
 * client can take it: that is the flow control. The cursor of the end is that of the last chunk written, so that what
 * was taken from the subscription but not written is not lost.
 */
export async function follow(subscription: LiveSubscription, options: FollowOptions): Promise<void> {
  const { outlet, format, calls, first = [] } = options;
  const { ended } = subscription;
  let { cursor } = subscription;
  const write = async (chunks: readonly Chunk[]): Promise<boolean> => {
    for (const chunk of chunks) {
      // An end that came before the write leaves the chunk unwritten: its cursor must not be told.
      const written = ended.aborted ? "ended" : await outlet.write(chunk.bytes, ended);
      if (written === "closed") return false;
      if (written !== "ended") cursor = chunk.cursor;
      if (written === "ready") continue;
      outlet.fail(endError(ended.reason as EndReason, cursor));
      return false;
    }
    return true;
  };
  outlet.over.addEventListener("abort", () => subscription.close());
  try {
    calls.addStream(outlet, () => {
      outlet.fail(endError("shutdown", cursor));
      subscription.close();
    });
    let going = !outlet.over.aborted && await write(first);
    while (going) {
      const message = await subscription.next();
      if (message.kind === "end") return outlet.fail(endError(message.reason, cursor));
      going = await write(chunksOf(message, format));
    }
  } finally {
    subscription.close();
  }
}

function chunksOf(message: Exclude<LiveMessage, { kind: "end" }>, format: LiveFormat): readonly Chunk[] {
  switch (message.kind) {
    case "events":
      return format.events(message.batch);
    case "position":
      return format.position(message.cursor);
    case "reset":
      return format.reset(message);
  }
}
