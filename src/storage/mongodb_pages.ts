/** Pages of events: by time for lists, by publication for replay. */
import { type Collection, type Filter, type FindCursor, type FindOptions, ObjectId } from "mongodb";
import { HubError } from "../errors.ts";
import type { Event } from "../event.ts";
import {
  MONGODB_LOOK_DOCUMENTS,
  MONGODB_LOOK_DOCUMENTS_MAX,
  MONGODB_READ_MS,
  MONGODB_REPLY_DOCUMENTS,
} from "../limits.ts";
import type { PublicationPlace } from "../publication.ts";
import type { EventFilter, EventPage, PagePosition, PageRequest } from "../storage.ts";
import { type EventDocument, eventKey, fromDocument, insertionOf } from "./mongodb_documents.ts";

const TIE = /^[0-9a-f]{24}$/;

/** One event; `null` when there is none, or it is erased. */
export async function getEvent(events: Collection<EventDocument>, tenant: string, id: string): Promise<Event | null> {
  const stored = fromDocument(await events.findOne({ _id: eventKey(tenant, id) }, { maxTimeMS: MONGODB_READ_MS }));
  return stored === null || stored.erased ? null : stored.event;
}

/** A document, and its place in the order of a list. */
type Listed = Pick<EventDocument, "timestamp" | "arrival">;

/**
 * A page of events by (timestamp, arrival); each page is one stretch of an index. Where types are asked for that are rare,
 * or most events are erased, no more than so many entries of it are looked through: then the page is shorter.
 */
export async function listEvents(
  events: Collection<EventDocument>,
  filter: EventFilter,
  { limit, order, after }: PageRequest,
  { lookMax = MONGODB_LOOK_DOCUMENTS_MAX }: { lookMax?: number } = {},
): Promise<EventPage> {
  const stretch = new Stretch(events, filter, order);
  const page: EventDocument[] = [];
  let place: PagePosition | null | undefined = after ?? null;
  let looked = 0;
  for (let look = Math.min(MONGODB_LOOK_DOCUMENTS, lookMax); place !== undefined && page.length < limit; look *= 4) {
    const { found, end } = await stretch.read({ after: place, limit: limit - page.length, look });
    page.push(...found);
    place = end;
    looked += look;
    if (looked >= lookMax) break;
  }
  // What was changed by hand until it is no event any more is left out.
  const stored = page.map(fromDocument).filter((one) => one !== null);
  return {
    events: stored.map(({ event }) => event),
    ties: stored.map(({ pend }) => pend),
    next: place ?? null,
  };
}

/** The entries of an index that a list is made of. */
class Stretch {
  readonly #events: Collection<EventDocument>;
  readonly #filter: EventFilter;
  readonly #order: "asc" | "desc";

  constructor(events: Collection<EventDocument>, filter: EventFilter, order: "asc" | "desc") {
    this.#events = events;
    this.#filter = filter;
    this.#order = order;
  }

  /**
   * The first ones behind a place (`null` = the start), at most `limit`, among the next `look` entries; and the place
   * where to go on, `undefined` at the end.
   */
  async read(
    { after, limit, look }: { after: PagePosition | null; limit: number; look: number },
  ): Promise<{ found: EventDocument[]; end: PagePosition | undefined }> {
    const { eventTypes } = this.#filter;
    const bound = eventTypes === undefined ? null : await this.#entryAt(look, after);
    const found = await this.#find(this.#conditions(after, bound === null ? null : pagePlaceOf(bound)), {})
      .limit(limit + 1).batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
    const part = found.slice(0, limit);
    const last = found.length > limit ? part.at(-1) : bound;
    return {
      found: part.filter(({ erased }) => erased === undefined),
      end: last ? pagePlaceOf(last) : undefined,
    };
  }

  /** The entry so many behind a place, of whatever type; `null` when there are fewer. Read from the index alone. */
  async #entryAt(count: number, after: PagePosition | null): Promise<Listed | null> {
    const [entry] = await this.#find(this.#conditions(after, null, { ofAnyType: true }), {
      projection: { _id: 0, timestamp: 1, arrival: 1 },
    }).skip(count - 1).limit(1).toArray();
    return entry ?? null;
  }

  #find(conditions: Filter<EventDocument>, options: FindOptions): FindCursor<EventDocument> {
    const direction = this.#order === "asc" ? 1 : -1;
    return this.#events.find(conditions, { ...options, maxTimeMS: MONGODB_READ_MS })
      .sort({ timestamp: direction, arrival: direction });
  }

  #conditions(
    after: PagePosition | null,
    upTo: PagePosition | null,
    { ofAnyType = false } = {},
  ): Filter<EventDocument> {
    const { tenant, userId, eventTypes, from, to } = this.#filter;
    const order = this.#order;
    const places = [
      ...(after === null ? [] : [behind(after, order)]),
      ...(upTo === null ? [] : [notBehind(upTo, order)]),
    ];
    return {
      tenant,
      timestamp: timesOf({ from, to, after, upTo, order }),
      // What has none is of another program.
      arrival: { $type: "objectId" },
      ...(userId !== undefined && { user_id: userId }),
      ...(eventTypes !== undefined && !ofAnyType && { event_type: { $in: [...eventTypes] } }),
      ...(places.length > 0 && { $and: places }),
    };
  }
}

function pagePlaceOf({ timestamp, arrival }: Listed): PagePosition {
  return { timestamp: timestamp.getTime(), tie: arrival.toHexString() };
}

/** The events behind a place in the order of publication; `until` (exclusive) in milliseconds. */
export function eventsBehind(after: PublicationPlace | null, until?: number): Filter<EventDocument> {
  const end = until === undefined ? {} : { $lt: new Date(until) };
  // Documents of other programs have no `pub`: a comparison with a date finds dates alone.
  if (after === null) return { pub: { $gte: new Date(0), ...end } };
  const pub = new Date(after.pub);
  return { pub: { $gte: pub, ...end }, $or: [{ pub: { $gt: pub } }, { arrival: { $gt: insertionOf(after.pend) } }] };
}

/** The place of a document in the order of publication. What was changed by hand may have lost its arrival. */
export function placeOf({ pub, arrival }: Pick<EventDocument, "pub" | "arrival">): PublicationPlace {
  return { pub: pub.getTime(), pend: arrival instanceof ObjectId ? arrival.toHexString() : "" };
}

function timesOf(
  { from, to, after, upTo, order }: Pick<EventFilter, "from" | "to"> & Pick<PageRequest, "order"> & {
    after: PagePosition | null;
    upTo: PagePosition | null;
  },
): { $gte: Date; $lt?: Date; $lte?: Date } {
  const [earliest, latest] = order === "asc" ? [after, upTo] : [upTo, after];
  const times: { $gte: Date; $lt?: Date; $lte?: Date } = {
    $gte: new Date(Math.max(from ?? 0, earliest?.timestamp ?? 0)),
  };
  if (to !== undefined) times.$lt = new Date(to);
  if (latest !== null) times.$lte = new Date(latest.timestamp);
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

/** Up to a place, and with it. The times are bounded already. */
function notBehind({ timestamp, tie }: PagePosition, order: "asc" | "desc"): Filter<EventDocument> {
  const time = new Date(timestamp);
  const arrival = new ObjectId(tie);
  return order === "asc"
    ? { $or: [{ timestamp: { $lt: time } }, { arrival: { $lte: arrival } }] }
    : { $or: [{ timestamp: { $gt: time } }, { arrival: { $gte: arrival } }] };
}
