/** Subscribe: live events with cursors. */
import type { Server } from "@grpc/grpc-js";
import { namingCursor } from "../../errors.ts";
import type { LiveEvent, LiveMessage } from "../../feed.ts";
import * as v1 from "../../gen/eventhub/v1/eventhub.ts";
import { addServerStream, SENDER, type Services } from "./calls.ts";
import { toEvent, toLiveFilter, toStart } from "./convert.ts";
import { strictly } from "./decode.ts";
import { follow, type LiveFormat } from "./live.ts";
import { type Chunk, chunks } from "./outlet.ts";

const readSubscribeRequest = strictly("eventhub.v1.SubscribeRequest", v1.SubscribeRequest);

type ResetMessage = Extract<LiveMessage, { kind: "reset" }>;

const REASONS = {
  epoch: v1.ResetReason.RESET_REASON_EPOCH,
  expired: v1.ResetReason.RESET_REASON_EXPIRED,
  future: v1.ResetReason.RESET_REASON_FUTURE,
  trimmed: v1.ResetReason.RESET_REASON_TRIMMED,
} as const satisfies Record<ResetMessage["reason"], v1.ResetReason>;

const MODES = {
  replay: v1.ResetMode.RESET_MODE_REPLAY,
  skip: v1.ResetMode.RESET_MODE_SKIP,
} as const satisfies Record<ResetMessage["mode"], v1.ResetMode>;

const FORMAT: LiveFormat = {
  events: (batch) => batch.encode("grpc v1", eventChunks),
  position: (cursor) => chunks([{ bytes: encode({ $case: "progress", progress: { cursor } }), cursor }]),
  reset: ({ reason, mode, cursor }) => {
    const reset = { reason: REASONS[reason], mode: MODES[mode], cursor };
    return chunks([{ bytes: encode({ $case: "reset", reset }), cursor }]);
  },
};

/** Adds the method that follows live events. */
export function addSubscribe(server: Server, { hub, config, calls, timing }: Services): void {
  addServerStream(server, {
    timing,
    path: v1.EventHubServiceService.subscribe.path,
    decode: readSubscribeRequest,
    handle: async ({ after, filter }, outlet) => {
      const start = toStart(after, config.naiveZone);
      const options = { tenant: SENDER.tenant, start, filter: toLiveFilter(filter) };
      const subscription = await namingCursor("after", hub.subscribe(options));
      outlet.open();
      await follow(subscription, { outlet, format: FORMAT, calls });
    },
  });
}

function encode(message: v1.SubscribeResponse["message"]): Uint8Array {
  return v1.SubscribeResponse.encode({ message }).finish();
}

function eventChunks(events: readonly LiveEvent[]): Chunk[] {
  return chunks(events.map(({ event, cursor }) => {
    const bytes = encode({ $case: "event", event: { event: toEvent(event), cursor } });
    return { bytes, cursor };
  }));
}
