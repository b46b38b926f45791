/** GetEvent, ListEvents and QueryAggregates. */
import type { Server } from "@grpc/grpc-js";
import * as v1 from "../../gen/eventhub/v1/eventhub.ts";
import { namingCursor } from "../../errors.ts";
import type { HubApi, ListedEvents } from "../../hub.ts";
import { GRPC_ANSWER_BYTES_MAX, PAGE_EVENTS_DEFAULT } from "../../limits.ts";
import { addUnary, SENDER, type Services } from "./calls.ts";
import {
  badField,
  toAggregateRow,
  toAggregatesRequest,
  toEvent,
  toEventFilter,
  toOrder,
  toTimestamp,
} from "./convert.ts";
import { strictly } from "./decode.ts";

const methods = v1.EventHubServiceService;
const readGetEventRequest = strictly("eventhub.v1.GetEventRequest", v1.GetEventRequest);
const readListEventsRequest = strictly("eventhub.v1.ListEventsRequest", v1.ListEventsRequest);
const readQueryAggregatesRequest = strictly("eventhub.v1.QueryAggregatesRequest", v1.QueryAggregatesRequest);
/** What an event takes at most beside the user's id and its properties. */
const EVENT_FRAME_BYTES = 300;
/** A code unit of UTF-16 takes at most three bytes. */
const TEXT_BYTES_PER_CHARACTER = 3;
/** JSON takes at most five and a half times as much as a Struct: `0,` is two bytes there and eleven here. */
const STRUCT_BYTES_PER_CHARACTER = 5.5;

/** Adds the methods that ask. */
export function addQuery(server: Server, { hub, calls }: Pick<Services, "hub" | "calls">): void {
  const { tenant } = SENDER;
  addUnary(server, {
    calls,
    method: methods.getEvent,
    decode: readGetEventRequest,
    handle: async ({ id }) => {
      if (id === "") throw badField("id", "required", "is required");
      return { event: toEvent(await hub.get(tenant, id)) };
    },
  });
  addUnary(server, {
    calls,
    method: methods.listEvents,
    decode: readListEventsRequest,
    handle: async (request) => {
      const streamCursor = await hub.streamHead(tenant);
      const { events, nextCursor } = await listWithin(GRPC_ANSWER_BYTES_MAX, hub, request);
      return { events: events.map(toEvent), nextCursor: nextCursor ?? undefined, streamCursor };
    },
  });
  addUnary(server, {
    calls,
    method: methods.queryAggregates,
    decode: readQueryAggregatesRequest,
    handle: async (request) => {
      const { from, to, rows } = await hub.aggregates(toAggregatesRequest(tenant, request));
      return {
        from: toTimestamp(from),
        to: toTimestamp(to),
        window: request.window === v1.Window.WINDOW_UNSPECIFIED ? v1.Window.WINDOW_MINUTE : request.window,
        rows: rows.map(toAggregateRow),
      };
    },
  });
}

/** A page whose message stays within `bytes`: one that would not is asked for again, shorter. */
async function listWithin(
  bytes: number,
  hub: Pick<HubApi, "list">,
  request: v1.ListEventsRequest,
): Promise<ListedEvents> {
  const filter = toEventFilter(SENDER.tenant, request.filter);
  const { cursor } = request;
  const order = toOrder(request.order);
  const limit = request.limit ?? PAGE_EVENTS_DEFAULT;
  const page = await namingCursor("cursor", hub.list(filter, { limit, order, cursor }));
  let left = bytes;
  const fitting = page.events.findIndex(({ userId, properties }) => {
    left -= EVENT_FRAME_BYTES + userId.length * TEXT_BYTES_PER_CHARACTER +
      (properties?.length ?? 0) * STRUCT_BYTES_PER_CHARACTER;
    return left < 0;
  });
  return fitting < 0 ? page : await hub.list(filter, { limit: fitting, order, cursor });
}
