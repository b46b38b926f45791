/**
 * The lives of the stream. An epoch is recorded in the store with the run of the server and a random marker that Redis
 * holds too: after a restart the run differs, after a loss of everything the marker is gone. Either way entries may be
 * missing, so another epoch begins, by compare-and-set in the store, and readers of the old one go back to the store.
 *
 * Redis comes first: a marker that no epoch knows is taken as it is found. So two processes that notice the same loss
 * agree, and one that dies between the two steps leaves a marker that the next one takes up.
 */
import { getLogger } from "@logtape/logtape";
import { HubError } from "../errors.ts";
import type { Epoch, PublicationSource } from "../publication.ts";
import { type RedisConnection, type Reply, unlessRefused } from "./redis_connection.ts";
import { type RawEntry, toEntries } from "./redis_entry.ts";
import type { EpochName } from "./redis_position.ts";
import { checkOfMarker, CLAIM, LOOK, newMarker, type RedisKeys } from "./redis_scripts.ts";

const log = getLogger(["eventhub", "redis"]);

/** Rounds after which something else is wrong: each one is lost only to another process that began an epoch. */
const ROUNDS = 10;

/** What the stream looked like at one moment. */
export interface StreamState {
  readonly epoch: Epoch;
  /** The largest id ever given out, `0-0` for none. */
  readonly last: string;
  /** Entries below it are gone that nobody erased: trimmed. `null` when there are none. */
  readonly floor: string | null;
  readonly entries: readonly RawEntry[];
}

interface Seen {
  readonly run: string;
  readonly marker: string;
  /** By the clock of Redis, milliseconds. */
  readonly now: number;
}

/** Knows the epochs and begins new ones. */
export class RedisEpochs {
  readonly #source: Pick<PublicationSource, "epochs" | "beginEpoch" | "now">;
  readonly #connection: RedisConnection;
  readonly #keys: RedisKeys;
  #all: readonly Epoch[] = [];
  #renewing: Promise<Epoch> | null = null;

  constructor(
    source: Pick<PublicationSource, "epochs" | "beginEpoch" | "now">,
    connection: RedisConnection,
    keys: RedisKeys,
  ) {
    this.#source = source;
    this.#connection = connection;
    this.#keys = keys;
  }

  /** The epoch as last seen; the first call looks. */
  async current(): Promise<Epoch> {
    return this.#all.at(-1) ?? await this.renew();
  }

  /** Looks at the stream and at most `count` entries behind a place; begins an epoch where the stream lost anything. */
  async look({ after = "0-0", count = 0 }: { after?: string; count?: number } = {}): Promise<StreamState> {
    for (let round = 0; round < ROUNDS; round++) {
      const epoch = await this.current();
      const [same, , , last, floor, , entries] = await this.#look(epoch, after, count);
      if (same !== 1) {
        await this.renew();
        continue;
      }
      return {
        epoch,
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

  /** When the first of the epochs behind this one began; `Infinity` when there is none. */
  startBehind({ number }: { readonly number: number }): number {
    return Math.min(...this.#all.filter((epoch) => epoch.number > number).map((epoch) => epoch.startedAt));
  }

  async #renew(): Promise<Epoch> {
    for (let round = 0; round < ROUNDS; round++) {
      const all = await this.#source.epochs();
      const last = all.at(-1);
      const [same, run, marker, , , now] = await this.#look(last, "0-0", 0);
      if (last !== undefined && same === 1) {
        this.#all = all;
        return last;
      }
      await this.#begin({ all, seen: { run: String(run), marker: String(marker), now: Number(now) } });
    }
    throw new HubError("unavailable", "No epoch of the stream could be begun");
  }

  async #begin({ all, seen }: { all: readonly Epoch[]; seen: Seen }): Promise<void> {
    const last = all.at(-1);
    const isKnown = seen.marker === "" || all.some((epoch) => epoch.marker === seen.marker);
    const marker = isKnown
      ? String(
        await CLAIM.run(this.#connection, {
          keys: [this.#keys.epoch, this.#keys.floor],
          args: [seen.marker, newMarker()],
          repeatable: true,
        }),
      )
      : seen.marker;
    // Whichever clock is ahead: what was lost lay in the stream before it, by the clock of the ids.
    const startedAt = Math.max(this.#source.now(), seen.now);
    const epoch = { number: (last?.number ?? 0) + 1, startedAt, runId: seen.run, marker };
    if (await this.#source.beginEpoch(epoch, last?.number ?? 0)) {
      log.warn("Epoch {number} of the stream begins; readers of an earlier one read the store first", {
        number: epoch.number,
        reason: last === undefined ? "first" : last.runId === seen.run ? "emptied" : "restarted",
      });
    }
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
