/** What is not counted yet, as it is found: by name, or the oldest first. */
import type { Filter } from "mongodb";
import { MONGODB_REPLY_DOCUMENTS, MONGODB_SETTLE_EVENTS, STREAM_SKEW_MS } from "../limits.ts";
import type { Collections } from "./mongodb_connection.ts";
import type { EventDocument } from "./mongodb_documents.ts";

/** What a pass needs of an event that is not counted. */
export type Uncounted = Pick<
  EventDocument,
  "_id" | "tenant" | "event_type" | "timestamp" | "received_at" | "slice" | "pend" | "pub" | "erased"
>;

const UNCOUNTED = {
  tenant: 1,
  event_type: 1,
  timestamp: 1,
  received_at: 1,
  slice: 1,
  pend: 1,
  pub: 1,
  erased: 1,
} as const;

/** A part of what is not counted. */
export interface Due {
  readonly pub?: { readonly $lte?: Date; readonly $gt?: Date };
  readonly received_at?: { readonly $lte: Date };
}

/**
 * What has waited for so long. Without an age, whatever is there, also of a process whose clock is ahead. With one, the
 * time of publication decides; but where the stream's clock is ahead it may have been moved there, and then it is the time
 * of receipt.
 */
export function dueAt(now: number, ageMs: number): readonly Due[] {
  if (ageMs === 0) return [{}];
  const until = new Date(now - ageMs);
  return [
    { pub: { $lte: until } },
    { pub: { $gt: new Date(now + STREAM_SKEW_MS) }, received_at: { $lte: until } },
  ];
}

/** A page of what is not counted, by (pub, pend): the order of an index that holds only those. */
export function oldest(
  { events, session }: Collections,
  { among, after }: { among: Due; after: Uncounted | null },
): Promise<Uncounted[]> {
  const filter: Filter<EventDocument> = {
    pend: { $exists: true },
    ...among,
    ...(after && {
      pub: { ...among.pub, $gte: after.pub },
      $or: [{ pub: { $gt: after.pub } }, { pend: { $gt: after.pend! } }],
    }),
  };
  return events.find<Uncounted>(filter, { projection: UNCOUNTED, session })
    .sort({ pub: 1, pend: 1 }).limit(MONGODB_SETTLE_EVENTS).batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
}

/** Those of a filter. */
export function read({ events, session }: Collections, filter: Filter<EventDocument>): Promise<Uncounted[]> {
  return events.find<Uncounted>(filter, { projection: UNCOUNTED, session }).batchSize(MONGODB_REPLY_DOCUMENTS)
    .toArray();
}

/** Since when the oldest waits, milliseconds; `null` = nothing does. The time of publication may lie ahead. */
export async function waitingSince({ events }: Collections, now: number): Promise<number | null> {
  const found = await events.findOne({ pend: { $exists: true } }, {
    projection: { pub: 1, received_at: 1 },
    sort: { pub: 1 },
  });
  if (found === null) return null;
  const pub = found.pub.getTime();
  return pub > now && found.received_at instanceof Date ? found.received_at.getTime() : pub;
}

/** Whether it is an event, and not what somebody made of one by hand. */
export function isSound({ tenant, event_type, timestamp, received_at, slice }: Uncounted): boolean {
  return typeof tenant === "string" && typeof event_type === "string" && typeof slice === "string" &&
    timestamp instanceof Date && received_at instanceof Date;
}
