/**
 * Stores events, each id once. An event and "not counted yet" are one document, so nothing can come between; what
 * counts them is `mongodb_settle.ts`.
 */
import { getLogger } from "@logtape/logtape";
import type { Collection } from "mongodb";
import { type Event, sameContent } from "../event.ts";
import { MONGODB_COMMAND_DOCUMENTS, MONGODB_DUPLICATE_RETRY_MS, MONGODB_INSERT_BYTES } from "../limits.ts";
import type { StoredEvent } from "../publication.ts";
import type { AppendStatus } from "../storage.ts";
import { Arrivals } from "./mongodb_arrivals.ts";
import { chunksOf, eachOf } from "./mongodb_batches.ts";
import type { Collections, MongoConnection } from "./mongodb_connection.ts";
import { isDuplicateKey, loggable, writeErrorsOf } from "./mongodb_errors.ts";
import { anonymous, type EventDocument, eventKey, fromDocument, toDocument } from "./mongodb_documents.ts";
import type { PurgeState } from "./mongodb_purge.ts";
import { Slices } from "./mongodb_slices.ts";
import { EventTypes } from "./mongodb_types.ts";

const log = getLogger(["eventhub", "mongodb"]);

/** Weight of an event without its properties, and of a character of those: BSON has up to ten bytes for two of JSON. */
const EVENT_BYTES = 1_024;
const PROPERTIES_FACTOR = 6;

/** The longest wait between two tries of an id that is refused and not to be seen, milliseconds. */
const RETRY_DELAY_MAX = 200;

/** What is stored under an id. */
interface Known {
  /** `null`: a document of another program. */
  readonly event: Event | null;
  readonly erased: boolean;
}

/** An event of a call and what became of it. */
interface Item {
  readonly key: string;
  readonly event: Event;
  /** `null` = not decided yet. */
  status: AppendStatus | null;
  /** Set when something is stored under its id. */
  known: Known | null;
}

/** What the server said of one document. */
type Insertion = "stored" | "exists" | "unknown";

/** The only one who adds events. */
export class Appender {
  readonly #connection: MongoConnection;
  readonly #purges: PurgeState;
  readonly #types = new EventTypes();
  readonly #arrivals = new Arrivals();
  readonly #slices = new Slices();
  readonly #listeners = new Set<(group: readonly StoredEvent[]) => void>();

  constructor(connection: MongoConnection, purges: PurgeState) {
    this.#connection = connection;
    this.#purges = purges;
  }

  /** Stores events and answers what became of each. Never rejects. */
  async append(events: readonly Event[]): Promise<readonly AppendStatus[]> {
    const items = events.map((event): Item => ({
      key: eventKey(event.tenant, event.id),
      event,
      status: null,
      known: null,
    }));
    try {
      await this.#connection.run((collections) => this.#decide(collections, items));
    } catch (error) {
      // The database is closed or does not answer: what is not decided is not known to be stored.
      log.warn("Events are not known to be stored: {error}", { error: loggable(error) });
    }
    return items.map(({ status }) => status ?? "unavailable");
  }

  /** Calls back with every group that was stored, once it is durable, until the returned function is called. */
  watch(listener: (group: readonly StoredEvent[]) => void): () => void {
    const own = (group: readonly StoredEvent[]) => listener(group);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  /** Of equal ids the first that may be stored is the first copy; the others are compared with it. */
  async #decide(collections: Collections, items: readonly Item[]): Promise<void> {
    await this.#purges.refresh(collections);
    const conditional = items.filter(({ event }) =>
      this.#purges.covers(event.timestamp) || !this.#types.has(event.tenant, event.eventType)
    );
    if (conditional.length > 0) await this.#admit(collections, { items, conditional });
    const admitted = items.filter(({ status }) => status === null);
    const firsts = firstOfEach(admitted);
    await eachOf(insertsOf([...firsts.values()]), (group) => this.#store(collections.events, group));
    for (const item of admitted) {
      const { known } = firsts.get(item.key)!;
      item.status ??= known === null ? "unavailable" : compare(known, item.event);
    }
  }

  /**
   * Decides on events that can only be stored under a condition: they are older than what was purged, or their type is
   * new. What is known already is a duplicate or a conflict all the same. However many of them are refused, and however
   * often an id is among them, each question is asked once.
   */
  async #admit(
    { events, tenants }: Collections,
    { items, conditional }: { items: readonly Item[]; conditional: readonly Item[] },
  ): Promise<void> {
    const sameKeys = Map.groupBy(conditional, ({ key }) => key);
    for (const keys of chunksOf([...sameKeys.keys()], MONGODB_COMMAND_DOCUMENTS)) {
      await compareWithStored(events, keys.flatMap((key) => sameKeys.get(key)!));
    }
    for (const item of conditional) if (this.#purges.covers(item.event.timestamp)) item.status ??= "purged";
    const open = items.filter(({ status }) => status === null);
    const typed = [...firstOfEach(open).values()].filter((item) => !this.#isTyped(item));
    for (const [tenant, ofTenant] of Map.groupBy(typed, ({ event }) => event.tenant)) {
      await this.#types.admit(tenants, { tenant, eventTypes: ofTenant.map(({ event }) => event.eventType) });
    }
    // A type is refused only when there is room for none: so no later copy brings one that could still be admitted.
    const taken = new Set<string>();
    for (const item of open) {
      if (taken.has(item.key)) continue;
      if (this.#isTyped(item)) taken.add(item.key);
      else item.status = "too_many_event_types";
    }
  }

  #isTyped({ event }: Item): boolean {
    return this.#types.has(event.tenant, event.eventType);
  }

  /** Inserts one command's worth of events until each is decided. */
  async #store(events: Collection<EventDocument>, group: readonly Item[]): Promise<void> {
    const deadline = performance.now() + MONGODB_DUPLICATE_RETRY_MS;
    for (let [open, delayMs] = [group, 1]; open.length > 0;) {
      const pub = this.#connection.now();
      const documents = open.map(({ event }) =>
        toDocument(event, { pub, arrival: this.#arrivals.next(pub), slice: this.#slices.of(event) })
      );
      const insertions = await insert(events, documents);
      const stored: StoredEvent[] = [];
      open.forEach((item, i) => {
        if (insertions[i] === "unknown") item.status = "unavailable";
        if (insertions[i] !== "stored") return;
        item.status = "stored";
        item.known = { event: item.event, erased: item.event.userId === "" };
        stored.push({ key: item.key, event: item.event, pub, pend: documents[i]!.arrival.toHexString() });
      });
      if (stored.length > 0) { for (const listener of this.#listeners) listener(stored); }
      const there = open.filter((_, i) => insertions[i] === "exists");
      if (there.length > 0) await compareWithStored(events, there);
      // Refused as duplicates and not to be seen: not yet on a majority, or just purged. They are tried again.
      open = there.filter(({ status }) => status === null);
      if (open.length === 0) return;
      if (performance.now() + delayMs > deadline) {
        log.warn("{count} events are refused as duplicates for {ms} ms and cannot be found, {key} for one", {
          count: open.length,
          ms: MONGODB_DUPLICATE_RETRY_MS,
          key: open[0]!.key,
        });
        return;
      }
      await new Promise((resolve) => setTimeout(resolve, delayMs));
      delayMs = Math.min(2 * delayMs, RETRY_DELAY_MAX);
    }
  }
}

/** The first item of each id. */
function firstOfEach(items: readonly Item[]): Map<string, Item> {
  const firsts = new Map<string, Item>();
  for (const item of items) if (!firsts.has(item.key)) firsts.set(item.key, item);
  return firsts;
}

function compare({ event: stored, erased }: Known, resent: Event): AppendStatus {
  if (stored === null) return "conflict";
  return sameContent(stored, erased ? anonymous(resent) : resent) ? "duplicate" : "conflict";
}

/** Events in groups that each fit one command. */
function insertsOf(items: readonly Item[]): Item[][] {
  const groups: Item[][] = [];
  let [group, bytes]: [Item[], number] = [[], 0];
  for (const item of items) {
    const weight = EVENT_BYTES + PROPERTIES_FACTOR * (item.event.properties?.length ?? 0);
    if (group.length === MONGODB_COMMAND_DOCUMENTS || bytes + weight > MONGODB_INSERT_BYTES) {
      groups.push(group);
      [group, bytes] = [[], 0];
    }
    group.push(item);
    bytes += weight;
  }
  return group.length === 0 ? groups : [...groups, group];
}

/**
 * Inserts documents with one command. When it fails, servers differ in what they say was inserted: the indexes of the
 * errors alone are to be trusted. Any other doubt, a time-out of the write concern too, leaves all unknown.
 */
async function insert(
  events: Collection<EventDocument>,
  documents: readonly EventDocument[],
): Promise<readonly Insertion[]> {
  try {
    await events.insertMany(documents, { ordered: false });
    return documents.map(() => "stored");
  } catch (error) {
    const failed = writeErrorsOf(error);
    const insertions: Insertion[] = documents.map(() => failed === null ? "unknown" : "stored");
    for (const failure of failed ?? []) insertions[failure.index] = isDuplicateKey(failure) ? "exists" : "unknown";
    const count = insertions.filter((insertion) => insertion === "unknown").length;
    if (count > 0) log.warn("{count} events are not known to be stored: {error}", { count, error: loggable(error) });
    return insertions;
  }
}

/** Sets the statuses of those whose id is stored. */
async function compareWithStored(events: Collection<EventDocument>, items: readonly Item[]): Promise<void> {
  const found = new Map<string, Known>();
  const keys = new Set(items.map(({ key }) => key));
  for await (const document of events.find({ _id: { $in: [...keys] } })) {
    const stored = fromDocument(document);
    found.set(String(document._id), { event: stored?.event ?? null, erased: stored?.erased ?? false });
  }
  for (const item of items) {
    const known = found.get(item.key);
    if (known === undefined) continue;
    item.known = known;
    item.status = compare(known, item.event);
  }
}
