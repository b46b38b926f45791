/**
 * The way back to the store: what the stream lost, or never had, is read there in the order of publication.
 *
 * H is the end of the stream when it was looked at. No entry's time of publication lies further than the skew from its
 * id, so everything published before T = H − skew is in the stream at or before H if anywhere, and was in the store when
 * H was noted. The replay reads the store up to T; then the stream is followed from T − skew, and of its entries up to H
 * those published before T are left out. So each event comes once, however many were on their way.
 *
 * Where the stream does not hold that stretch, the replay closes in instead: it reads up to H + skew and goes on at H.
 * What follows behind H is then left out of the replay as far as it is looked through; the reader was told of a reset
 * before (or the stream has just failed), because some events may come again.
 */
import { heldBytes } from "../event.ts";
import { LOG_PAGE_BYTES_MAX, REPLAY_MARGIN_MS, REPLAY_SKEW_MS, STREAM_SKEW_MS } from "../limits.ts";
import type { Epoch, PublicationPage, PublicationPlace, PublicationSource, StoredEvent } from "../publication.ts";
import type { LogPage, Position, Reset } from "../stream.ts";
import type { RedisEpochs, StreamState } from "./redis_epochs.ts";
import { Overlap } from "./redis_overlap.ts";
import {
  compareIds,
  type EpochName,
  formatPosition,
  millisecondsOf,
  type Place,
  type ReplayPlace,
} from "./redis_position.ts";
import { checkOfMarker } from "./redis_scripts.ts";

/** What lay between is purged. */
export const EXPIRED: Reset = { reason: "expired", mode: "skip" };

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

  /**
   * The place before the oldest event the store keeps; the head of the stream when there is none. `told`: the reader is
   * told that events may come again.
   */
  async oldest(state: StreamState, { told = false }: { told?: boolean } = {}): Promise<Place> {
    const oldest = await this.#source.oldest();
    if (oldest === null) return streamPlace(state.epoch, state.last);
    return { ...placeAt(state, { pub: oldest, pend: "" }), told };
  }

  /** The place from which nothing is missed that was behind a lost place. The reader is told of it. */
  lost(state: StreamState, place: Place): Place {
    const isInStream = place.phase === "stream" || place.phase === "overlap";
    // A replay leaves to the stream what lies behind H, also where it has given what was published later. What was published
    // long before H was noted was in the store then.
    const time = this.timeOf(isInStream ? place : { epoch: place.epoch, id: place.head });
    const pub = Math.max(0, Math.min(time, this.#epochs.startBehind(place.epoch)) - REPLAY_MARGIN_MS);
    // What was read in the store before that is not lost: a replay that is interrupted again and again gets on.
    const at = !isInStream && place.at.pub < pub ? place.at : { pub, pend: "" };
    return { ...placeAt(state, at), told: true };
  }

  /**
   * The time of a place in the stream: the reader has what was published before, but for the skew. What lies behind has a
   * later id and was published after the epoch began; the id alone says nothing where nothing was published yet.
   */
  timeOf({ epoch, id }: { readonly epoch: EpochName; readonly id: string }): number {
    return Math.max(millisecondsOf(id), this.#epochs.find(epoch)?.startedAt ?? 0);
  }

  /** The place before the first event received at or after a time; the head when there is none. */
  async receivedFrom(state: StreamState, receivedAt: number): Promise<Place> {
    // Where the clock of Redis is behind, times of publication were moved to it.
    const moved = Math.min(0, state.now - this.#source.now());
    const pub = Math.max(0, receivedAt - STREAM_SKEW_MS + moved);
    const first = await this.#source.firstReceived({ pub, receivedAt });
    return first === null ? streamPlace(state.epoch, state.last) : placeAt(state, before(first));
  }

  /** Whether retention has purged events that lay behind a place of the store. */
  async isExpired(at: PublicationPlace): Promise<boolean> {
    const purged = await this.#source.purgedUntil();
    if (purged === null || purged < at.pub) return false;
    const oldest = await this.#source.oldest();
    return oldest === null || at.pub < oldest;
  }

  /** A page from the store; the last one leads into the stream. `state` is that of the epoch of the place. */
  async read(
    place: ReplayPlace,
    options: { state: StreamState; limit: number; tenant?: string },
  ): Promise<LogPage> {
    const { state, ...wanted } = options;
    if (place.phase === "closing") return await this.#close(place, { epoch: state.epoch, ...wanted });
    const until = timeBefore(place.head);
    if (place.at.pub >= until) return await this.#join(place, state);
    const page = cut(await this.#source.published({ ...wanted, after: place.at, until }));
    const at = page.caughtUp ? { pub: until, pend: "" } : page.place;
    return { ...toPage(place, page.entries), position: formatPosition({ ...place, at }), caughtUp: false };
  }

  /** The store was read up to T: where it goes on. */
  async #join(place: ReplayPlace, state: StreamState): Promise<LogPage> {
    const { at } = place;
    const to = (next: Place) => ({ entries: [], position: formatPosition(next), caughtUp: false });
    const [from, head] = [idAt(at.pub - REPLAY_SKEW_MS), state.last];
    if (await this.#holdsFrom(state, at.pub)) {
      if (compareIds(from, place.head) >= 0) return to({ phase: "stream", epoch: place.epoch, id: place.head });
      return to({ phase: "overlap", epoch: place.epoch, at, head: place.head, id: from });
    }
    // It took so long that the stream went on without: once more, from here to where it is now.
    const until = timeBefore(head);
    if (until > at.pub && await this.#holdsFrom(state, until)) return to({ ...place, head });
    const told = place.told || isTrimmed(state, at.pub) || state.epoch.number === 1;
    const next: ReplayPlace = { ...place, phase: "closing", head, told };
    if (place.told === told) return to(next);
    const reason = isTrimmed(state, at.pub) ? "trimmed" : "epoch";
    return { ...to(next), reset: { reason, mode: "replay" } };
  }

  /** Whether everything published from a time on is in the stream, or will be. */
  async #holdsFrom(state: StreamState, pub: number): Promise<boolean> {
    if (isTrimmed(state, pub)) return false;
    const { number, lostUntil } = state.epoch;
    if (lostUntil + REPLAY_SKEW_MS <= pub) return true;
    // Nothing was lost before the first epoch when nothing was stored before it.
    return number === 1 && (await this.#source.oldest() ?? Infinity) >= lostUntil - STREAM_SKEW_MS;
  }

  /**
   * A page on the way to H. By H + skew everything was published that the stream lost or held before H: what it lost was
   * in it before the epoch began.
   */
  async #close(
    place: ReplayPlace,
    { epoch, ...wanted }: { epoch: Epoch; limit: number; tenant?: string },
  ): Promise<LogPage> {
    const until = endBehind(epoch, place.head);
    const page = cut(await this.#source.published({ ...wanted, after: place.at, until }));
    const { entries, isComplete } = await this.#withoutThoseBehind(place, page.entries);
    const position = formatPosition(page.caughtUp ? streamPlace(epoch, place.head) : { ...place, at: page.place });
    const isAnnounced = page.caughtUp && !isComplete && !place.told;
    return {
      ...toPage(place, entries),
      position,
      caughtUp: false,
      ...(isAnnounced && { reset: { reason: "epoch", mode: "replay" } as const }),
    };
  }

  /** Leaves out what follows in the stream anyway, as far as it is looked through. */
  async #withoutThoseBehind(
    place: ReplayPlace,
    entries: readonly StoredEvent[],
  ): Promise<{ entries: readonly StoredEvent[]; isComplete: boolean }> {
    const { pends, isComplete } = await this.#overlap.behind(place);
    return { entries: pends.size === 0 ? entries : entries.filter(({ pend }) => !pends.has(pend)), isComplete };
  }
}

/** The name of an epoch as positions hold it. */
function nameOf(epoch: Epoch): EpochName {
  return { number: epoch.number, check: checkOfMarker(epoch.marker) };
}

function placeAt({ epoch, last }: StreamState, at: PublicationPlace): ReplayPlace {
  return { phase: "replay", epoch: nameOf(epoch), at, head: last, told: false };
}

/** T: what was published before it does not come behind H. */
function timeBefore(head: string): number {
  return Math.max(0, millisecondsOf(head) - REPLAY_SKEW_MS);
}

/** The time by which everything was published that lay in the stream before H or before the epoch. */
function endBehind(epoch: Epoch, head: string): number {
  return Math.max(millisecondsOf(head), epoch.lostUntil) + REPLAY_SKEW_MS;
}

/** Whether the stream no longer holds everything that was published from a time on. */
function isTrimmed({ floor }: StreamState, pub: number): boolean {
  return floor !== null && compareIds(floor, idAt(pub - REPLAY_SKEW_MS)) > 0;
}

/** The place right before that of an insertion. */
function before({ pub, pend }: PublicationPlace): PublicationPlace {
  const number = BigInt(`0x0${pend}`);
  return number === 0n ? { pub, pend: "" } : { pub, pend: (number - 1n).toString(16).padStart(pend.length, "0") };
}

function idAt(time: number): string {
  return `${Math.max(0, time)}-0`;
}

function toPage(place: ReplayPlace, entries: readonly StoredEvent[]): Pick<LogPage, "entries"> {
  const positionOf = ({ pub, pend }: StoredEvent): Position => formatPosition({ ...place, at: { pub, pend } });
  return { entries: entries.map((entry) => ({ event: entry.event, position: positionOf(entry) })) };
}

/** The beginning of a page, no longer than `LOG_PAGE_BYTES_MAX` allows. */
function cut(page: PublicationPage): PublicationPage {
  let bytes = 0;
  for (const [i, { event, pub, pend }] of page.entries.entries()) {
    bytes += heldBytes(event);
    if (bytes < LOG_PAGE_BYTES_MAX || i === page.entries.length - 1) continue;
    return { entries: page.entries.slice(0, i + 1), place: { pub, pend }, caughtUp: false };
  }
  return page;
}
