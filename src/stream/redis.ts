/**
 * The live log as a Redis Stream beside a store that holds everything. Entries are handed out at least once, in the order
 * of the stream; what Redis lost or trimmed, and what lies further back, is read from the store (see `redis_replay.ts`).
 * Repeats come only after an announced reset or a failure.
 */
import { getLogger } from "@logtape/logtape";
import { decodeLiveCursor, encodeLiveCursor } from "../cursor.ts";
import { HubError } from "../errors.ts";
import { heldBytes } from "../event.ts";
import {
  LOG_PAGE_BYTES_MAX,
  REPLAY_OVERLAP_PAGE_ENTRIES,
  RETENTION_MIN_MS,
  STREAM_ENTRIES_DEFAULT,
  STREAM_PAGE_ENTRIES,
  STREAM_SEARCH_AGAIN_MS,
  STREAM_SEARCH_ENTRIES,
} from "../limits.ts";
import { comparePlaces, type PublicationSource } from "../publication.ts";
import type { ChangedCells, EventStream, LogEntry, LogPage, Opened, Position, Reset, Start } from "../stream.ts";
import type { ServerMeasures } from "../telemetry_stream.ts";
import { wait } from "../worker.ts";
import { RedisConnection, unlessRefused } from "./redis_connection.ts";
import { fromFields, type RawEntry, type StreamEntry } from "./redis_entry.ts";
import { RedisEpochs, type StreamState } from "./redis_epochs.ts";
import { forgetUser } from "./redis_forget.ts";
import { measureStreams } from "./redis_measures.ts";
import {
  compareIds,
  formatPosition,
  fromCursorFields,
  millisecondsOf,
  type OverlapPlace,
  parsePosition,
  type Place,
  type StreamPlace,
  toCursorFields,
} from "./redis_position.ts";
import { Publisher } from "./redis_publisher.ts";
import { EXPIRED, Replay, streamPlace } from "./redis_replay.ts";
import { RedisKeys } from "./redis_scripts.ts";
import { RedisTail } from "./redis_tail.ts";

const log = getLogger(["eventhub", "redis"]);

/** What a probe writes is of no use to anybody. */
const PROBE_KEPT_MS = 1_000;

/** Where the stream is, and what tests shorten. */
export interface RedisStreamOptions {
  /** `redis://…` or `rediss://…`. */
  readonly url: string;
  readonly source: PublicationSource;
  /** Name of the stream, and what the names of all other keys begin with. */
  readonly prefix?: string;
  /** About how many entries the stream holds. */
  readonly entriesMax?: number;
  /** How old an event is at least when retention purges it, milliseconds. */
  readonly retentionMinMs?: number;
  /** How long a blocking read waits, milliseconds. */
  readonly blockMs?: number;
  /** How long an answer of Redis may take, milliseconds. */
  readonly timeoutMs?: number;
  /** How often the store is asked whether another Redis is in use, milliseconds. */
  readonly compareMs?: number;
  /** How long nobody has followed another Redis before a former one is used again, milliseconds. */
  readonly followedMs?: number;
}

/** The stream of one process: it publishes what the store of this process takes, and hands out what all publish. */
export class RedisStream implements EventStream {
  readonly name = "redis";
  readonly #source: PublicationSource;
  readonly #retentionMinMs: number;
  readonly #connection: RedisConnection;
  readonly #keys: RedisKeys;
  readonly #epochs: RedisEpochs;
  readonly #publisher: Publisher;
  readonly #replay: Replay;
  readonly #tail: RedisTail;
  readonly #stopping = new AbortController();
  /** Searches for entries of erased users that are to be made again. */
  readonly #searches = new Set<Promise<void>>();
  #complained = false;
  #checking: Promise<void> | null = null;

  private constructor(options: RedisStreamOptions) {
    const { url, source, prefix = "events", timeoutMs, followedMs } = options;
    this.#source = source;
    this.#retentionMinMs = options.retentionMinMs ?? RETENTION_MIN_MS;
    this.#connection = new RedisConnection(url, { name: "eventhub", timeoutMs });
    this.#keys = new RedisKeys(prefix);
    this.#epochs = new RedisEpochs(source, this.#connection, this.#keys, { announces: true, followedMs });
    this.#publisher = new Publisher({
      source,
      connection: this.#connection,
      epochs: this.#epochs,
      keys: this.#keys,
      entriesMax: options.entriesMax ?? STREAM_ENTRIES_DEFAULT,
    });
    this.#replay = new Replay(source, this.#epochs);
    const { blockMs, compareMs } = options;
    this.#tail = new RedisTail({ url, keys: this.#keys, epochs: this.#epochs, blockMs, timeoutMs, compareMs });
  }

  /**
   * Resolves when Redis answered, or when it did not in time: it is then waited for, while the store takes events and
   * whoever reads the stream is told that it is unavailable.
   */
  static async open(options: RedisStreamOptions): Promise<RedisStream> {
    const stream = new RedisStream(options);
    await stream.#tail.start();
    return stream;
  }

  async head(): Promise<Position> {
    const { epoch, last } = await this.#epochs.look();
    return formatPosition(streamPlace(epoch, last));
  }

  async open(tenant: string, start: Start): Promise<Opened> {
    if ("cursor" in start) return await this.#follow(fromCursorFields(decodeLiveCursor(tenant, start.cursor)));
    const state = await this.#epochs.look();
    let place = streamPlace(state.epoch, state.last);
    if ("receivedAt" in start) place = await this.#replay.receivedFrom(state, start.receivedAt);
    else if (start.at === "earliest") place = await this.#replay.oldest(state);
    return { position: formatPosition(place), reset: null };
  }

  async read({ after, limit: wanted, tenant }: { after: Position; limit: number; tenant?: string }): Promise<LogPage> {
    // What is read and cut off again must not be much.
    const limit = Math.min(wanted, STREAM_PAGE_ENTRIES);
    for (let place = parsePosition(after);;) {
      const page = await this.#read(place, { limit, tenant });
      const isEmpty = page.entries.length === 0 && !page.caughtUp && page.reset === undefined;
      if (!isEmpty || tenant !== undefined) return page;
      place = parsePosition(page.position);
    }
  }

  cursor(tenant: string, position: Position): string {
    return encodeLiveCursor(tenant, toCursorFields(parsePosition(position)));
  }

  watch(listener: () => void): () => void {
    return this.#tail.watch(listener);
  }

  watchCells(listener: (cells: ChangedCells) => void): () => void {
    return this.#tail.watchCells(listener);
  }

  /**
   * Takes the entries of a user out of the stream, after the store has erased the events. Answers how many. It is done
   * once more a minute later, for what other processes had on its way. Rejects in a former Redis: the entries are elsewhere.
   */
  async forget(tenant: string, userId: string): Promise<number> {
    this.#publisher.forget(tenant, userId);
    // Nothing of this database is there.
    if (await this.#epochs.isForeign()) return 0;
    await this.#epochs.compare();
    const search = () => unlessRefused(forgetUser(this.#connection, { keys: this.#keys, tenant, userId }));
    const forgotten = await search();
    const again = wait(STREAM_SEARCH_AGAIN_MS, this.#stopping.signal).then(async () => {
      if (!this.#stopping.signal.aborted) await search();
    }).catch((cause) => log.error("The entries of an erased user could not be searched again", { cause }))
      .finally(() => this.#searches.delete(again));
    this.#searches.add(again);
    return forgotten;
  }

  /** Resolves when the stream can be read and written; rejects with the reason why not. Asked by many, it asks once. */
  check(): Promise<void> {
    return this.#checking ??= this.#check().finally(() => this.#checking = null);
  }

  async #check(): Promise<void> {
    const { problem } = this.#connection;
    if (problem !== null) throw new HubError("unavailable", "Redis cannot be reached", { cause: problem });
    await this.#epochs.look();
    await unlessRefused(this.#connection.ask("SET", this.#keys.probe, 1, "PX", PROBE_KEPT_MS));
    const { trouble } = this.#publisher;
    if (trouble !== null) throw new HubError("unavailable", `Events cannot be published: ${trouble}`);
  }

  /** How long the streams are, and how far the hub's groups are with them. */
  async measure(): Promise<ServerMeasures> {
    await this.#epochs.current();
    return await unlessRefused(measureStreams(this.#connection, this.#keys));
  }

  /** Resolves when everything this process stored is published; while Redis is away, it waits. */
  whenPublished(): Promise<void> {
    return this.#publisher.whenIdle();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await Promise.all(this.#searches);
    const parts = [this.#connection, this.#publisher, this.#tail];
    await Promise.all(parts.map((part) => part[Symbol.asyncDispose]()));
  }

  async #read(place: Place, { limit, tenant }: { limit: number; tenant?: string }): Promise<LogPage> {
    const ahead = aheadOf(place, limit);
    const state = await this.#epochs.look(ahead);
    const { place: goOn, reset } = await this.#goOn(state, place);
    if (reset === EXPIRED && place.phase === "stream" && !isGap(state, place)) {
      return await this.#skip(place, { limit, tenant });
    }
    if (reset !== null) return { entries: [], position: formatPosition(goOn), caughtUp: false, reset };
    if (goOn.phase === "stream" || goOn.phase === "overlap") {
      return this.#page(state, goOn, { atEnd: state.entries.length < ahead.count, limit, tenant });
    }
    return await this.#replay.read(goOn, { state, limit, tenant });
  }

  async #follow(place: Place): Promise<Opened> {
    const state = await this.#epochs.look(aheadOf(place, 1));
    const { place: at, reset } = await this.#goOn(state, place);
    return { position: formatPosition(at), reset };
  }

  /**
   * Where a reader at a place goes on: there, if nothing behind it is lost, or else in the store. `state` holds the first
   * entry behind the place.
   */
  async #goOn(state: StreamState, place: Place): Promise<{ place: Place; reset: Reset | null }> {
    const replay = (reason: Reset["reason"]): Reset => ({ reason, mode: "replay" });
    // An epoch that began in another Redis is unknown here until the store is asked.
    if (place.epoch.number > state.epoch.number) await this.#epochs.compare();
    if (this.#epochs.find(place.epoch) === null) {
      return { place: await this.#replay.oldest(state, { told: true }), reset: replay("epoch") };
    }
    const isOlder = place.epoch.number !== state.epoch.number;
    const id = place.phase === "stream" ? place.id : place.head;
    if (!isOlder && compareIds(id, state.last) > 0) {
      return { place: await this.#replay.oldest(state, { told: true }), reset: replay("future") };
    }
    if (await this.#isExpired(state, place)) return { place: await this.#replay.oldest(state), reset: EXPIRED };
    if (isOlder) return { place: this.#replay.lost(state, place), reset: replay("epoch") };
    if (isGap(state, place)) {
      return { place: this.#replay.lost(state, place), reset: replay("trimmed") };
    }
    return { place, reset: null };
  }

  /**
   * Whether retention has purged what comes next. Asked only for places so old that it could: the store answers, and the
   * tail never asks.
   */
  async #isExpired(state: StreamState, place: Place): Promise<boolean> {
    const time = place.phase === "stream" ? this.#replay.timeOf(place) : place.at.pub;
    // Half of it leaves room for clocks that differ.
    if (time > this.#source.now() - this.#retentionMinMs / 2) return false;
    if (place.phase !== "stream") return await this.#replay.isExpired(place.at);
    if (isGap(state, place)) return await this.#replay.isExpired({ pub: time, pend: "" });
    const next = state.entries.at(0);
    const entry = next === undefined ? null : fromFields(next);
    return entry !== null && await this.#replay.isExpired({ pub: entry.pub, pend: "" });
  }

  /** Goes on in the stream where the oldest event kept may be, so that the reader's place does not go back. */
  async #skip(
    place: StreamPlace,
    options: { limit: number; tenant?: string },
  ): Promise<LogPage> {
    const oldest = await this.#source.oldest() ?? Infinity;
    for (let at = place.id;;) {
      const state = await this.#epochs.look({ after: at, count: STREAM_SEARCH_ENTRIES });
      if (state.epoch.number !== place.epoch.number) {
        return { entries: [], position: formatPosition({ ...place, id: at }), caughtUp: false, reset: EXPIRED };
      }
      const kept = state.entries.findIndex((raw) => (fromFields(raw)?.pub ?? 0) >= oldest);
      const skipped = kept === -1 ? state.entries.length : kept;
      at = state.entries[skipped - 1]?.id ?? at;
      if (kept === -1 && state.entries.length === STREAM_SEARCH_ENTRIES) continue;
      const entries = state.entries.slice(skipped, skipped + options.limit);
      const atEnd = state.entries.length < STREAM_SEARCH_ENTRIES &&
        skipped + entries.length === state.entries.length;
      return { ...this.#page({ ...state, entries }, { ...place, id: at }, { ...options, atEnd }), reset: EXPIRED };
    }
  }

  /**
   * A page of the entries that were read, at most `limit`, and no longer than `LOG_PAGE_BYTES_MAX` allows. `atEnd`: there
   * are no others.
   */
  #page(
    state: StreamState,
    place: StreamPlace | OverlapPlace,
    { atEnd, limit, tenant }: { atEnd: boolean; limit: number; tenant?: string },
  ): LogPage {
    const entries: LogEntry[] = [];
    let [read, next, bytes] = [place.id, 0, 0];
    while (next < state.entries.length && entries.length < limit && bytes < LOG_PAGE_BYTES_MAX) {
      const raw = state.entries[next++]!;
      read = raw.id;
      const entry = this.#parse(raw);
      if (entry === null || (tenant !== undefined && entry.event.tenant !== tenant)) continue;
      if (isReplayed(place, entry)) continue;
      entries.push({ event: entry.event, position: formatPosition(placeBehind(state, place, entry.id)) });
      bytes += heldBytes(entry.event);
    }
    const caughtUp = read === state.last || (atEnd && next === state.entries.length);
    return { entries, position: formatPosition(placeBehind(state, place, caughtUp ? state.last : read)), caughtUp };
  }

  #parse(raw: RawEntry): StreamEntry | null {
    const entry = fromFields(raw);
    if (entry === null && !this.#complained) {
      this.#complained = true;
      log.warn("The stream holds entries that are not the hub's, such as {id}; they are skipped", { id: raw.id });
    }
    return entry;
  }
}

/** What to look at for a page of a place. In an overlap most entries are left out until their time is that of `at`. */
function aheadOf(place: Place, limit: number): { after: string; count: number } {
  if (place.phase === "stream") return { after: place.id, count: limit };
  if (place.phase !== "overlap") return { after: place.head, count: 0 };
  return { after: place.id, count: millisecondsOf(place.id) < place.at.pub ? REPLAY_OVERLAP_PAGE_ENTRIES : limit };
}

/** Whether a reader has an entry from the store. */
function isReplayed(place: StreamPlace | OverlapPlace, entry: StreamEntry): boolean {
  return place.phase === "overlap" && compareIds(entry.id, place.head) <= 0 && comparePlaces(entry, place.at) <= 0;
}

/** A place further on: behind H there is no overlap. */
function placeBehind({ epoch }: StreamState, place: StreamPlace | OverlapPlace, id: string): Place {
  return place.phase === "overlap" && compareIds(id, place.head) < 0 ? { ...place, id } : streamPlace(epoch, id);
}

/** Whether the stream no longer holds what lay right behind a place of it. */
function isGap({ epoch, floor }: StreamState, place: Place): boolean {
  if (place.epoch.number !== epoch.number) return true;
  if (place.phase !== "stream" && place.phase !== "overlap") return false;
  return floor !== null && compareIds(place.id, floor) < 0;
}
