/**
 * The way back to the store: what the stream lost, or never had, is read there in the order of publication, up to the
 * time by which everything before the place H in the stream was published; from H on the stream is followed.
 */
import { heldBytes } from "../event.ts";
import { LOG_PAGE_BYTES_MAX, REPLAY_MARGIN_MS, REPLAY_OVERLAP_ENTRIES, STREAM_SKEW_MS } from "../limits.ts";
import type { Epoch, PublicationPage, PublicationPlace, PublicationSource, StoredEvent } from "../publication.ts";
import type { LogPage, Position, Reset } from "../stream.ts";
import type { RedisEpochs, StreamState } from "./redis_epochs.ts";
import { Overlap } from "./redis_overlap.ts";
import { type EpochName, formatPosition, millisecondsOf, type Place } from "./redis_position.ts";
import { checkOfMarker } from "./redis_scripts.ts";

type ReplayPlace = Place & { readonly phase: "replay" };

/** What lay between is purged. */
export const EXPIRED: Reset = { reason: "expired", mode: "skip" };

/** The name of an epoch as positions hold it. */
export function nameOf(epoch: Epoch): EpochName {
  return { number: epoch.number, check: checkOfMarker(epoch.marker) };
}

/** The place of an id in the stream. */
export function streamPlace(epoch: Epoch, id: string): Place {
  return { phase: "stream", epoch: nameOf(epoch), id };
}

/** Reads the store for those who cannot go on in the stream. */
export class Replay {
  readonly #source: PublicationSource;
  readonly #epochs: RedisEpochs;
  readonly #overlap: Overlap;

  constructor(source: PublicationSource, epochs: RedisEpochs) {
    this.#source = source;
    this.#epochs = epochs;
    this.#overlap = new Overlap(epochs);
  }

  /** The place before the oldest event the store keeps; the head of the stream when there is none. */
  async oldest(state: StreamState): Promise<Place> {
    const oldest = await this.#source.oldest();
    if (oldest === null) return streamPlace(state.epoch, state.last);
    return this.#placeAt(state, { pub: oldest, key: "" });
  }

  /** The place from which nothing is missed that was behind a lost place. */
  lost(state: StreamState, place: Place): Place {
    const time = place.phase === "replay" ? place.at.pub : millisecondsOf(place.id);
    const pub = Math.max(0, Math.min(time, this.#epochs.startBehind(place.epoch)) - REPLAY_MARGIN_MS);
    return this.#placeAt(state, { pub, key: "" });
  }

  /** The place before the first event received at or after a time; the head when there is none. */
  async receivedFrom(state: StreamState, time: number): Promise<Place> {
    const until = this.#until(state.epoch, state.last);
    let at: PublicationPlace = { pub: Math.max(0, time - STREAM_SKEW_MS), key: "" };
    for (;;) {
      const page = await this.#source.published({ after: at, until, limit: REPLAY_OVERLAP_ENTRIES });
      for (const { event, pub, key } of page.entries) {
        if (event.receivedAt >= time) return this.#placeAt(state, at);
        at = { pub, key };
      }
      if (page.caughtUp) return streamPlace(state.epoch, state.last);
      at = page.place;
    }
  }

  /** Whether retention has purged events that lay behind a place of the store. */
  async isExpired(at: PublicationPlace): Promise<boolean> {
    const purged = await this.#source.purgedUntil();
    if (purged === null || purged < at.pub) return false;
    const oldest = await this.#source.oldest();
    return oldest === null || at.pub < oldest;
  }

  /** A page from the store; the last one leads into the stream. */
  async read(place: ReplayPlace, options: { limit: number; tenant?: string }): Promise<LogPage> {
    const epoch = this.#epochs.find(place.epoch);
    if (epoch === null) throw new Error(`Cannot replay in an epoch that is not known: ${place.epoch.number}`);
    const until = this.#until(epoch, place.head);
    const page = cut(await this.#source.published({ ...options, after: place.at, until }));
    const fresh = await this.#withoutThoseBehind(place.head, page.entries);
    const positionOf = (at: PublicationPlace): Position => formatPosition({ ...place, at });
    const end = page.caughtUp ? formatPosition(streamPlace(epoch, place.head)) : positionOf(page.place);
    // Behind the last event of the last page lies nothing but the stream.
    const entries = fresh.map((entry, i) => ({
      event: entry.event,
      position: i === fresh.length - 1 ? end : positionOf({ pub: entry.pub, key: entry.key }),
    }));
    return { entries, position: end, caughtUp: false };
  }

  #placeAt(state: StreamState, at: PublicationPlace): Place {
    return { phase: "replay", epoch: nameOf(state.epoch), at, head: state.last };
  }

  /**
   * By when everything was published that the stream lost or held before H: what it lost was in it before the epoch
   * began, and no entry's time of publication lies further than the skew from its id.
   */
  #until(epoch: Epoch, head: string): number {
    return Math.max(millisecondsOf(head), epoch.startedAt) + STREAM_SKEW_MS + 1;
  }

  /** Leaves out what follows in the stream anyway, as far as it is looked through. */
  async #withoutThoseBehind(head: string, entries: readonly StoredEvent[]): Promise<readonly StoredEvent[]> {
    const last = entries.at(-1);
    if (last === undefined || last.pub < millisecondsOf(head) - STREAM_SKEW_MS) return entries;
    const behind = await this.#overlap.behind(head);
    return behind.size === 0 ? entries : entries.filter(({ pend }) => !behind.has(pend));
  }
}

/** The beginning of a page, no longer than `LOG_PAGE_BYTES_MAX` allows. */
function cut(page: PublicationPage): PublicationPage {
  let bytes = 0;
  for (const [i, { event, pub, key }] of page.entries.entries()) {
    bytes += heldBytes(event);
    if (bytes < LOG_PAGE_BYTES_MAX || i === page.entries.length - 1) continue;
    return { entries: page.entries.slice(0, i + 1), place: { pub, key }, caughtUp: false };
  }
  return page;
}
