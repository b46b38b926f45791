/** Publish and PublishBatch. */
import type { Server } from "@grpc/grpc-js";
import * as v1 from "../../gen/eventhub/v1/eventhub.ts";
import type { HubApi, IngestResult } from "../../hub.ts";
import { addUnary, SENDER, type Services } from "./calls.ts";
import { toFieldError } from "./convert.ts";
import { MalformedEvent, type ReadEvent, readPublishBatchRequest, readPublishRequest } from "./event_reader.ts";

const methods = v1.EventHubServiceService;

/** What became of an event, or that it was none. */
export type Outcome = IngestResult | MalformedEvent;

const STATUS_OF = {
  stored: v1.EventStatus.EVENT_STATUS_STORED,
  duplicate: v1.EventStatus.EVENT_STATUS_DUPLICATE,
  conflict: v1.EventStatus.EVENT_STATUS_CONFLICT,
  invalid: v1.EventStatus.EVENT_STATUS_INVALID,
  unavailable: v1.EventStatus.EVENT_STATUS_UNAVAILABLE,
} as const satisfies Record<IngestResult["status"], v1.EventStatus>;

/** Adds the methods that take events and answer once. */
export function addPublish(server: Server, { hub, calls }: Pick<Services, "hub" | "calls">): void {
  addUnary(server, {
    calls,
    method: methods.publish,
    decode: readPublishRequest,
    inEvent: true,
    handle: async (event, late): Promise<v1.PublishResponse> => {
      if (event instanceof MalformedEvent) throw event.error;
      return await hub.publish(event, SENDER, (id) => late.id = id);
    },
  });
  addUnary(server, {
    calls,
    method: methods.publishBatch,
    decode: readPublishBatchRequest,
    handle: async ({ events, omitStored }, late) => {
      late.repeatable = events.every((event) => event instanceof MalformedEvent || event.id !== undefined);
      return batchResponse(await ingest(hub, events), omitStored);
    },
  });
}

/** Gives events to the hub, and what is none its place among the outcomes. */
export async function ingest(hub: Pick<HubApi, "publishBatch">, events: readonly ReadEvent[]): Promise<Outcome[]> {
  if (!events.some((event) => event instanceof MalformedEvent)) return [...await hub.publishBatch(events, SENDER)];
  const results = await hub.publishBatch(events.filter((event) => !(event instanceof MalformedEvent)), SENDER);
  let next = 0;
  return events.map((event) => event instanceof MalformedEvent ? event : results[next++]!);
}

/** Status, id and faults of an outcome as messages have them. */
export function toResult(outcome: Outcome): Pick<v1.EventResult, "id" | "status" | "errors"> {
  if (outcome instanceof MalformedEvent) {
    const errors = [{ field: "", code: outcome.error.code, detail: outcome.error.message }];
    return { id: "", status: v1.EventStatus.EVENT_STATUS_MALFORMED, errors };
  }
  const errors = "errors" in outcome ? outcome.errors.map(toFieldError) : [];
  return { id: outcome.id ?? "", status: STATUS_OF[outcome.status], errors };
}

function batchResponse(outcomes: readonly Outcome[], omitStored: boolean): v1.PublishBatchResponse {
  const response: v1.PublishBatchResponse = { accepted: 0, duplicates: 0, rejected: 0, retryable: 0, results: [] };
  outcomes.forEach((outcome, index) => {
    const status = outcome instanceof MalformedEvent ? "malformed" : outcome.status;
    if (status === "stored") response.accepted++;
    else if (status === "duplicate") response.duplicates++;
    else if (status === "unavailable") response.retryable++;
    else response.rejected++;
    if (omitStored && status === "stored") return;
    response.results.push({ index, ...toResult(outcome) });
  });
  return response;
}
