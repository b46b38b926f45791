/** Moves what a MongoDB database holds, beside hubs that run on it. */
import { getLogger } from "@logtape/logtape";
import type { Event } from "../event.ts";
import { MONGODB_MOVE_LEASE_MS, MONGODB_REPLY_DOCUMENTS } from "../limits.ts";
import type { PublicationPlace, StoredEvent } from "../publication.ts";
import type { AppendStatus } from "../storage.ts";
import {
  type CellGroup,
  type CellPage,
  type CellPageRequest,
  type EventsPage,
  type PurgedCellsStatus,
  purgedOf,
  type StoreTransfer,
} from "../transfer.ts";
import { MINUTE_MS } from "../window.ts";
import type { Appender } from "./mongodb_append.ts";
import { type CellsDocument, readCells } from "./mongodb_cells.ts";
import type { Collections, MongoConnection } from "./mongodb_connection.ts";
import { type EventDocument, eventKey, fromDocument } from "./mongodb_documents.ts";
import { spansIn } from "./mongodb_metrics.ts";
import { eventsBehind, placeOf } from "./mongodb_pages.ts";
import { addPurged, countMinutes } from "./mongodb_purged_cells.ts";
import { MOVES, type PurgeState } from "./mongodb_purge.ts";
import type { Settler } from "./mongodb_settle.ts";

const log = getLogger(["eventhub", "mongodb"]);

/** What it works with. */
export interface MongodbParts {
  readonly connection: MongoConnection;
  readonly appender: Appender;
  readonly settler: Settler;
  readonly purges: PurgeState;
  readonly settle: () => Promise<unknown>;
}

/** Moves one database. */
export class MongodbTransfer implements StoreTransfer {
  readonly #parts: MongodbParts;
  readonly #lease = `move:${crypto.randomUUID()}`;
  /** Stored by this move, and not counted yet, since the database went away: by key. */
  readonly #uncounted = new Map<string, StoredEvent>();
  #renewing: ReturnType<typeof setInterval> | undefined;

  constructor(parts: MongodbParts) {
    this.#parts = parts;
  }

  async begin(): Promise<void> {
    await this.#run(({ moves }) => moves.deleteMany({ ...MOVES, until: { $lt: new Date(this.#now()) } }));
    await this.#renew();
    this.#renewing ??= setInterval(() => {
      // Whatever is purged meanwhile is refused when it comes, and told.
      this.#renew().catch((error) => log.warn("Retention may purge while the store is moved: {error}", { error }));
    }, MONGODB_MOVE_LEASE_MS / 4);
    await this.#parts.settle();
  }

  tenants(): Promise<readonly string[]> {
    return this.#run(async ({ tenants }) => {
      const found = await tenants.find({}, { projection: { _id: 1 } }).toArray();
      return found.map(({ _id }) => _id).sort();
    });
  }

  refusedThrough(): Promise<number | null> {
    return this.#run(async (collections) => {
      await this.#parts.purges.read(collections);
      const minute = this.#parts.purges.throughMinute;
      return minute === -Infinity ? null : minute + MINUTE_MS - 1;
    });
  }

  events({ after, limit }: { after: string | null; limit: number }): Promise<EventsPage> {
    return this.#run(async ({ events }) => {
      const place = after === null ? null : placeFrom(after);
      const documents = await events.find(eventsBehind(place)).sort({ pub: 1, arrival: 1 }).limit(limit)
        .batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
      const last = documents.at(-1);
      const read = documents.map((document) => fromDocument(document) ?? document);
      return {
        events: read.filter(isRead).map(({ event }) => event),
        unreadable: read.filter((one) => !isRead(one)).map((document) => String((document as EventDocument)._id)),
        next: last === undefined ? null : placeText(placeOf(last)),
      };
    });
  }

  cells(span: "minute" | "hour", { tenant, from, limit }: CellPageRequest): Promise<CellPage> {
    return this.#run(async ({ rollups }) => {
      const found = await rollups.find(spansIn(span, { tenant, from, to: Infinity })).sort({ _id: 1 })
        .limit(limit + 1).batchSize(MONGODB_REPLY_DOCUMENTS).toArray();
      return { groups: found.slice(0, limit).map(groupOf), next: found[limit]?.start.getTime() ?? null };
    });
  }

  purgedCells({ tenant, from, limit }: CellPageRequest): Promise<CellPage> {
    return this.#parts.connection.causally(async (collections) => {
      const to = this.#parts.purges.throughMinute + MINUTE_MS;
      if (from >= to) return { groups: [], next: null };
      const { rollups, session } = collections;
      const found = await rollups.find(spansIn("minute", { tenant, from, to }), { session }).sort({ _id: 1 })
        .limit(limit + 1).toArray();
      const page = found.slice(0, limit).map(groupOf);
      const counted = await countMinutes(collections, page);
      const groups = page.map((group) => purgedOf(group, counted.get(group.start)?.byType ?? new Map()));
      return { groups: groups.filter(({ cells }) => cells.size > 0), next: found[limit]?.start.getTime() ?? null };
    });
  }

  async append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    const { appender, settler } = this.#parts;
    const before = new Set(this.#uncounted.keys());
    const unwatch = appender.watch((group) => {
      for (const one of group) this.#uncounted.set(one.key, one);
    });
    let statuses: readonly AppendStatus[];
    try {
      statuses = await this.#run(() => appender.append(events));
    } finally {
      unwatch();
    }
    // At once, and exactly these: the sweep would hand out what waits, and what others stored is theirs.
    const stored = [...this.#uncounted.values()];
    await settler.settleThese(stored);
    for (const { key } of stored) this.#uncounted.delete(key);
    // The answer of the call that stored them was lost.
    return statuses.map((status, i) =>
      status === "duplicate" && before.has(eventKey(events[i]!.tenant, events[i]!.id)) ? "stored" : status
    );
  }

  addPurged(
    groups: readonly CellGroup[],
    { check = false }: { check?: boolean } = {},
  ): Promise<readonly PurgedCellsStatus[]> {
    return this.#parts.connection.causally(async (collections) => {
      await this.#parts.purges.read(collections);
      return await addPurged(collections, groups, { check, frozen: this.#parts.purges.throughMinute });
    });
  }

  refuseThrough(timestamp: number): Promise<void> {
    return this.#run((collections) => this.#parts.purges.raise(collections, { through: new Date(timestamp) }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#renewing === undefined) return;
    clearInterval(this.#renewing);
    this.#renewing = undefined;
    try {
      await this.#run(({ moves }) => moves.deleteOne({ _id: this.#lease }));
    } catch (error) {
      // It ends by itself soon.
      log.warn("The end of a move could not be noted: {error}", { error });
    }
  }

  #now(): number {
    return this.#parts.connection.now();
  }

  async #renew(): Promise<void> {
    const until = new Date(this.#now() + MONGODB_MOVE_LEASE_MS);
    await this.#run(({ moves }) => moves.updateOne({ _id: this.#lease }, { $set: { until } }, { upsert: true }));
  }

  #run<T>(work: (collections: Collections) => Promise<T>): Promise<T> {
    return this.#parts.connection.run(work);
  }
}

/** A place in the order of publication as the `next` of a page. */
function placeText({ pub, pend }: PublicationPlace): string {
  return `${pub}:${pend}`;
}

function placeFrom(text: string): PublicationPlace {
  const [pub = "", pend = ""] = text.split(":");
  return { pub: Number(pub), pend };
}

function isRead(one: EventDocument | NonNullable<ReturnType<typeof fromDocument>>): one is NonNullable<
  ReturnType<typeof fromDocument>
> {
  return "event" in one;
}

function groupOf(document: CellsDocument): CellGroup {
  return { tenant: document.tenant, start: document.start.getTime(), cells: readCells(document).byType };
}
