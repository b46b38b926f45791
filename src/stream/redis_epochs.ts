/**
 * The lives of the stream. An epoch is recorded in the store with the run of the server and a random marker that Redis
 * holds too: after a restart the run differs, after a loss of everything the marker is gone. Either way entries may be
 * missing, so another epoch begins, by compare-and-set in the store, and readers of the old one go back to the store.
 *
 * Redis comes first: a marker that no epoch knows is taken as it is found. So two processes that notice the same loss
 * agree, and one that dies between the two steps leaves a marker that the next one takes up. Only where something speaks
 * against using this Redis at all, nothing is begun, and everything rejects as `unavailable`.
 */
import { getLogger } from "@logtape/logtape";
import { HubError } from "../errors.ts";
import { STREAM_OBJECTION_MS } from "../limits.ts";
import type { Epoch, PublicationSource } from "../publication.ts";
import { type RedisConnection, type Reply, unlessRefused } from "./redis_connection.ts";
import { type RawEntry, toEntries } from "./redis_entry.ts";
import { databaseOf, Following, isForeign, markerOf, type Objection, objectionTo } from "./redis_objection.ts";
import { type EpochName, millisecondsOf } from "./redis_position.ts";
import { checkOfMarker, CLAIM, LOOK, newMarker, type RedisKeys } from "./redis_scripts.ts";

const log = getLogger(["eventhub", "redis"]);

/** Rounds after which something else is wrong: each one is lost only to another process that began an epoch. */
const ROUNDS = 10;

/** What the stream looked like at one moment. */
export interface StreamState {
  readonly epoch: Epoch;
  /** The clock of Redis, milliseconds. */
  readonly now: number;
  /** The largest id ever given out, `0-0` for none. */
  readonly last: string;
  /** Entries below it are gone that nobody erased: trimmed. `null` when there are none. */
  readonly floor: string | null;
  readonly entries: readonly RawEntry[];
}

interface Seen {
  readonly run: string;
  readonly marker: string;
  /** The time that the next id has at least, milliseconds. */
  readonly time: number;
}

/** What epochs ask of the store. */
export type EpochSource = Pick<
  PublicationSource,
  "database" | "epochs" | "followEpoch" | "beginEpoch" | "newest" | "now"
>;

/** Knows the epochs and begins new ones. */
export class RedisEpochs {
  readonly #source: EpochSource;
  readonly #connection: RedisConnection;
  readonly #keys: RedisKeys;
  readonly #announces: boolean;
  readonly #following: Following;
  #all: readonly Epoch[] = [];
  #objection: { readonly kind: Objection["kind"]; readonly error: HubError; readonly seenAt: number } | null = null;
  #renewing: Promise<Epoch> | null = null;
  #database: string | null = null;

  /**
   * `announces`: it logs what speaks against using this Redis; one of a process does. `followedMs`: how long nobody has
   * followed another Redis before this one is used again.
   */
  constructor(
    source: EpochSource,
    connection: RedisConnection,
    keys: RedisKeys,
    { announces = false, followedMs }: { announces?: boolean; followedMs?: number } = {},
  ) {
    this.#source = source;
    this.#connection = connection;
    this.#keys = keys;
    this.#announces = announces;
    this.#following = new Following(followedMs);
  }

  /** What speaks against using this Redis, as was seen last; `null` when nothing does. */
  get objection(): Objection["kind"] | null {
    return this.#objection?.kind ?? null;
  }

  /** The epoch as last seen; the first call looks. */
  async current(): Promise<Epoch> {
    const objection = this.#objection;
    if (objection === null) return this.#all.at(-1) ?? await this.renew();
    if (performance.now() - objection.seenAt < STREAM_OBJECTION_MS) throw objection.error;
    return await this.renew();
  }

  /** Whether the keys in this Redis are those of another database. Begins nothing. */
  async isForeign(): Promise<boolean> {
    const [, , marker] = await this.#look(undefined, "0-0", 0);
    return isForeign(String(marker), await this.#name());
  }

  /**
   * Asks the store whether this epoch is still the last. Redis alone cannot tell that another one has taken its place. A
   * store that cannot be asked stores nothing either.
   */
  async compare(): Promise<void> {
    const { number } = await this.current();
    const isLast = await this.#source.followEpoch(number).catch((cause) => {
      log.debug("The epoch could not be compared", { cause });
      return true;
    });
    if (!isLast) await this.renew();
  }

  /** Looks at the stream and at most `count` entries behind a place; begins an epoch where the stream lost anything. */
  async look({ after = "0-0", count = 0 }: { after?: string; count?: number } = {}): Promise<StreamState> {
    for (let round = 0; round < ROUNDS; round++) {
      const epoch = await this.current();
      const [same, , , last, floor, now, entries] = await this.#look(epoch, after, count);
      if (same !== 1) {
        await this.renew();
        continue;
      }
      return {
        epoch,
        now: Number(now),
        last: String(last),
        floor: floor === "" ? null : String(floor),
        entries: toEntries(entries),
      };
    }
    throw new HubError("unavailable", "Redis loses its data again and again");
  }

  /** Finds out which epoch it is now, and begins one where the stream is not that of the last. */
  renew(): Promise<Epoch> {
    this.#renewing ??= this.#renew().finally(() => this.#renewing = null);
    return this.#renewing;
  }

  /** The epoch of a position; `null` when this database never had it. */
  find(name: EpochName): Epoch | null {
    const found = this.#all.find(({ number }) => number === name.number);
    return found !== undefined && checkOfMarker(found.marker) === name.check ? found : null;
  }

  /** When the epochs behind this one began, by the clock that was earliest; `Infinity` when there is none. */
  startBehind({ number }: { readonly number: number }): number {
    return Math.min(...this.#all.filter((epoch) => epoch.number > number).map((epoch) => epoch.startedAt));
  }

  async #renew(): Promise<Epoch> {
    for (let round = 0; round < ROUNDS; round++) {
      const all = await this.#source.epochs().catch((cause) => {
        this.#following.interrupt();
        throw cause;
      });
      const last = all.at(-1);
      const [same, run, marker, id, , now] = await this.#look(last, "0-0", 0);
      const [database, { stream }] = [await this.#name(), this.#keys];
      const isFollowed = last !== undefined && this.#following.isFollowed(last);
      const seen = { run: String(run), marker: String(marker) };
      this.#object(objectionTo(seen, { database, epochs: all, isFollowed, stream }));
      if (last !== undefined && same === 1) {
        this.#all = all;
        return last;
      }
      const time = Math.max(Number(now), millisecondsOf(String(id)));
      await this.#begin({ all, database, seen: { ...seen, time } });
    }
    throw new HubError("unavailable", "No epoch of the stream could be begun");
  }

  /** Rejects while something speaks against using this Redis. */
  #object(objection: Objection | null): void {
    if (objection === null) {
      if (this.#objection !== null && this.#announces) log.info("The live stream can be used again");
      this.#objection = null;
      return;
    }
    const { kind, detail } = objection;
    if (this.#objection?.kind !== kind && this.#announces) {
      log.error("The live stream cannot be used: {detail}", { detail });
    }
    const error = new HubError("unavailable", "The live stream cannot be used", { cause: new Error(detail) });
    this.#objection = { kind, error, seenAt: performance.now() };
    // Where a name leads to another server by now, a new connection finds it.
    if (kind === "replaced") this.#connection.reconnect();
    throw error;
  }

  async #begin(
    { all, database, seen }: { all: readonly Epoch[]; database: string; seen: Seen },
  ): Promise<void> {
    const last = all.at(-1);
    const isNew = databaseOf(seen.marker) === database && all.every((epoch) => epoch.marker !== seen.marker);
    const marker = isNew ? seen.marker : await this.#claim(seen.marker, database);
    // What was lost is in the store, with the time it was published at, be it by a clock that was wrong since or is another.
    const [newest, now] = [await this.#source.newest() ?? 0, this.#source.now()];
    const times = {
      startedAt: Math.min(now, seen.time),
      lostUntil: Math.max(now, seen.time, newest),
      followedAt: now,
    };
    const epoch = { number: (last?.number ?? 0) + 1, ...times, runId: seen.run, marker };
    if (await this.#source.beginEpoch(epoch, last?.number ?? 0)) {
      log.warn("Epoch {number} of the stream begins; readers of an earlier one read the store first", {
        number: epoch.number,
        reason: last === undefined ? "first" : last.runId === seen.run ? "emptied" : "restarted",
      });
    }
  }

  async #name(): Promise<string> {
    return this.#database ??= await this.#source.database();
  }

  /** Sets a new marker, unless another process did; answers which one holds. */
  async #claim(seen: string, database: string): Promise<string> {
    const { stream, epoch, floor } = this.#keys;
    const args = [seen, markerOf(database, newMarker())];
    const claiming = CLAIM.run(this.#connection, { keys: [stream, epoch, floor], args, repeatable: true });
    return String(await unlessRefused(claiming));
  }

  async #look(epoch: Epoch | undefined, after: string, count: number): Promise<readonly (Reply | undefined)[]> {
    const { stream, epoch: marker, floor } = this.#keys;
    const answer = LOOK.run(this.#connection, {
      keys: [stream, marker, floor],
      args: [epoch?.marker ?? "", epoch?.runId ?? "", after, count],
      repeatable: true,
    });
    return await unlessRefused(answer) as readonly Reply[];
  }
}

/** The epochs as each connection sees them: two of one process may lead to different servers. */
export function epochsOf(source: EpochSource, keys: RedisKeys): (connection: RedisConnection) => RedisEpochs {
  const known = new WeakMap<RedisConnection, RedisEpochs>();
  return (connection) => {
    const epochs = known.get(connection) ?? new RedisEpochs(source, connection, keys);
    known.set(connection, epochs);
    return epochs;
  };
}
