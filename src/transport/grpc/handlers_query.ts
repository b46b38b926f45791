/** GetEvent, ListEvents and QueryAggregates. */
import type { Server } from "@grpc/grpc-js";
import * as v1 from "../../gen/eventhub/v1/eventhub.ts";
import { namingCursor } from "../../errors.ts";
import { PAGE_EVENTS_DEFAULT } from "../../limits.ts";
import { addUnary, SENDER, type Services } from "./calls.ts";
import {
  badField,
  eventBytes,
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
      const filter = toEventFilter(tenant, request.filter);
      const { limit = PAGE_EVENTS_DEFAULT, cursor } = request;
      const page = { limit, order: toOrder(request.order), cursor, bytesOf: eventBytes };
      const { events, nextCursor } = await namingCursor("cursor", hub.list(filter, page));
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
