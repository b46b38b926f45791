/** Pages of events: by time for lists, by publication for replay. */
import { type Collection, type Filter, ObjectId } from "mongodb";
import { HubError } from "../errors.ts";
import type { Event } from "../event.ts";
import { MONGODB_REPLY_DOCUMENTS } from "../limits.ts";
import type { PublicationPlace } from "../publication.ts";
import type { EventFilter, EventPage, PagePosition, PageRequest } from "../storage.ts";
import { type EventDocument, eventKey, fromDocument } from "./mongodb_documents.ts";

const TIE = /^[0-9a-f]{24}$/;

/** One event; `null` when there is none, or it is erased. */
export async function getEvent(events: Collection<EventDocument>, tenant: string, id: string): Promise<Event | null> {
  const stored = fromDocument(await events.findOne({ _id: eventKey(tenant, id) }));
  return stored === null || stored.erased ? null : stored.event;
}

/** A page of events by (timestamp, arrival); each page is one stretch of an index. */
export async function listEvents(
  events: Collection<EventDocument>,
  filter: EventFilter,
  { limit, order, after }: PageRequest,
): Promise<EventPage> {
  const { tenant, userId, eventTypes, from, to } = filter;
  const direction = order === "asc" ? 1 : -1;
  const conditions: Filter<EventDocument> = {
    tenant,
    timestamp: timesOf({ from, to, after, order }),
    // What has none is of another program.
    arrival: { $type: "objectId" },
    erased: { $exists: false },
    ...(userId !== undefined && { user_id: userId }),
    ...(eventTypes !== undefined && { event_type: { $in: [...eventTypes] } }),
    ...(after !== undefined && behind(after, order)),
  };
  const found = await events.find(conditions).sort({ timestamp: direction, arrival: direction })
    .limit(limit + 1).batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
  const page = found.slice(0, limit);
  // What was changed by hand until it is no event any more is left out.
  const stored = page.map(fromDocument).filter((one) => one !== null);
  const last = found.length > limit ? page.at(-1) : undefined;
  return {
    events: stored.map(({ event }) => event),
    ties: stored.map(({ pend }) => pend),
    next: last === undefined ? null : { timestamp: last.timestamp.getTime(), tie: last.arrival.toHexString() },
  };
}

/** The events behind a place in the order of publication; `until` (exclusive) in milliseconds. */
export function eventsBehind(after: PublicationPlace | null, until?: number): Filter<EventDocument> {
  const end = until === undefined ? {} : { $lt: new Date(until) };
  // Documents of other programs have no `pub`: a comparison with a date finds dates alone.
  if (after === null) return { pub: { $gte: new Date(0), ...end } };
  const pub = new Date(after.pub);
  return { pub: { $gte: pub, ...end }, $or: [{ pub: { $gt: pub } }, { _id: { $gt: after.key } }] };
}

function timesOf(
  { from, to, after, order }: Pick<EventFilter, "from" | "to"> & Pick<PageRequest, "after" | "order">,
): { $gte: Date; $lt?: Date; $lte?: Date } {
  const times: { $gte: Date; $lt?: Date; $lte?: Date } = { $gte: new Date(from ?? 0) };
  if (to !== undefined) times.$lt = new Date(to);
  if (after !== undefined) {
    const edge = new Date(after.timestamp);
    if (order === "desc") times.$lte = edge;
    else if (edge > times.$gte) times.$gte = edge;
  }
  return times;
}

function behind({ timestamp, tie }: PagePosition, order: "asc" | "desc"): Filter<EventDocument> {
  if (!TIE.test(tie)) throw new HubError("invalid_cursor", "The cursor belongs to another kind of store");
  const time = new Date(timestamp);
  const arrival = new ObjectId(tie);
  return order === "asc"
    ? { $or: [{ timestamp: { $gt: time } }, { arrival: { $gt: arrival } }] }
    : { $or: [{ timestamp: { $lt: time } }, { arrival: { $lt: arrival } }] };
}
