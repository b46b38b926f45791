/**
 * What lies in the stream behind the places where replays end, so that they can leave it out. It is read once for all
 * replays: those that end near each other share a window over the stream, wherever in it their own place is.
 */
import { LOG_PAGE_EVENTS, REPLAY_OVERLAP_ENTRIES, REPLAY_OVERLAP_WINDOWS_MAX } from "../limits.ts";
import { pendOf } from "./redis_entry.ts";
import type { RedisEpochs } from "./redis_epochs.ts";
import { compareIds, type EpochName } from "./redis_position.ts";

/** A stretch of the stream without a gap: the entries behind `from`, up to `read`. */
interface Window {
  readonly epoch: number;
  readonly from: string;
  read: string;
  readonly ids: string[];
  readonly pends: string[];
}

/** What lies behind a place. */
export interface Behind {
  /** The insertions that its entries name. */
  readonly pends: ReadonlySet<string>;
  /** Whether the stream ended before more entries were there than are looked through. */
  readonly isComplete: boolean;
}

/** Its id would lie elsewhere. */
const OVER: Behind = { pends: new Set(), isComplete: true };

/** Knows the insertions behind places in the stream. */
export class Overlap {
  readonly #epochs: Pick<RedisEpochs, "current" | "look">;
  /** The one that was used last stands last. */
  #windows: Window[] = [];
  #last: Promise<unknown> = Promise.resolve();

  constructor(epochs: Pick<RedisEpochs, "current" | "look">) {
    this.#epochs = epochs;
  }

  /**
   * The insertions that the first `REPLAY_OVERLAP_ENTRIES` entries behind a place name. None when its epoch is over: whoever
   * asked learns of that with the next page, and reads all of it again.
   */
  behind({ epoch, head }: { epoch: EpochName; head: string }): Promise<Behind> {
    // One after the other: two at once would read the same entries.
    const found = this.#last.then(() => this.#behind(epoch.number, head));
    this.#last = found.catch(() => null);
    return found;
  }

  async #behind(epoch: number, head: string): Promise<Behind> {
    if ((await this.#epochs.current()).number !== epoch) return OVER;
    // The same ids may name other entries in another life of the stream.
    this.#windows = this.#windows.filter((window) => window.epoch === epoch);
    for (let window = this.#find(head) ?? this.#begin(head, epoch);;) {
      const start = firstBehind(window, head);
      if (start > REPLAY_OVERLAP_ENTRIES) {
        window = this.#begin(head, epoch);
        continue;
      }
      const end = start + REPLAY_OVERLAP_ENTRIES;
      if (window.ids.length >= end) {
        return { pends: new Set(window.pends.slice(start, end)), isComplete: false };
      }
      const state = await this.#epochs.look({ after: window.read, count: LOG_PAGE_EVENTS });
      if (state.epoch.number !== epoch) return OVER;
      for (const entry of state.entries) {
        window.ids.push(entry.id);
        window.pends.push(pendOf(entry));
      }
      window.read = state.entries.at(-1)?.id ?? window.read;
      if (state.entries.length < LOG_PAGE_EVENTS) {
        return { pends: new Set(window.pends.slice(firstBehind(window, head))), isComplete: true };
      }
    }
  }

  /** A window that begins before a place, and not too long before as far as is known. */
  #find(head: string): Window | undefined {
    const found = this.#windows.findLast((window) =>
      compareIds(window.from, head) <= 0 && firstBehind(window, head) <= REPLAY_OVERLAP_ENTRIES
    );
    if (found !== undefined) this.#windows.push(...this.#windows.splice(this.#windows.indexOf(found), 1));
    return found;
  }

  #begin(head: string, epoch: number): Window {
    const window = { epoch, from: head, read: head, ids: [], pends: [] };
    this.#windows.push(window);
    if (this.#windows.length > REPLAY_OVERLAP_WINDOWS_MAX) this.#windows.shift();
    return window;
  }
}

/** The index of the first entry of a window behind a place. */
function firstBehind({ ids }: Window, place: string): number {
  let [low, high] = [0, ids.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (compareIds(ids[middle]!, place) > 0) high = middle;
    else low = middle + 1;
  }
  return low;
}
