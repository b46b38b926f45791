/** One state of the settle model, and how it is packed into four words. */
import { INSERTIONS_MAX } from "./settle_model.ts";

/** 32-bit words of a packed state. */
export const STATE_WORDS = 4;
/** A set of insertions. */
const SET_BITS = INSERTIONS_MAX;
const SET = (1 << SET_BITS) - 1;
const IDLE = 0;

/** What a worker holds in memory; a crash loses it. */
export interface Worker {
  /** Its next instruction. */
  readonly at: number;
  /** Whether it settles what the sweep found, not what Redis delivered. */
  readonly sweeping: boolean;
  /** What it read before it began to scan (step 3), as pairs of `_id` and `pend`. */
  readonly read: number;
  /** What the scan of the cell has counted so far; in step 5, what is cleared already. */
  readonly counted: number;
}

/** Packs a worker into sixteen bits. */
export function packWorker({ at, sweeping, read, counted }: Worker): number {
  return at << 9 | (sweeping ? 1 : 0) << 8 | read << 4 | counted;
}

/** What a worker holds. */
export function unpackWorker(packed: number): Worker {
  return { at: packed >> 9, sweeping: (packed & 1 << 8) !== 0, read: packed >> 4 & SET, counted: packed & SET };
}

/**
 * Everything that is stored anywhere, and what the workers hold. All sets are of insertions.
 *
 * `published` and `twice` are not in the real system: they are what the model remembers to judge it.
 */
export class State {
  /** In an append: looked at and found acceptable, not yet inserted. */
  sending = 0;
  /** In `events`. */
  stored = 0;
  /** Have `pend`: not yet known to be counted. */
  pend = 0;
  /** Have `unpub`: perhaps never published. */
  unpub = 0;
  /** Were in `events` until retention deleted them. */
  purged = 0;
  /** Were in the stream at least once. */
  published = 0;
  /** Entries in the stream that the group has not acknowledged. */
  entries = 0;
  /** What the documents of `slices`, and of `rollups` for minutes and hours, have counted. */
  cells: number[] = [0, 0, 0];
  /** Counted more than once in a minute or an hour. */
  twice = 0;
  /** What retention has listed and may delete. */
  listed = 0;
  /** How many of the oldest minutes are older than retention. */
  old = 0;
  /** How many of the oldest minutes take no events any more: the largest timestamp ever purged. */
  floor = 0;
  /** What majority reads do not show, because the primary is new and behind. */
  hidden = 0;
  /** Redis is away. */
  away = false;
  /** The workers, packed. */
  workers: number[] = [IDLE, IDLE, IDLE];

  /** A state of its own. */
  copy(): State {
    const copy = new State();
    copy.sending = this.sending;
    copy.stored = this.stored;
    copy.pend = this.pend;
    copy.unpub = this.unpub;
    copy.purged = this.purged;
    copy.published = this.published;
    copy.entries = this.entries;
    copy.cells = [this.cells[0]!, this.cells[1]!, this.cells[2]!];
    copy.twice = this.twice;
    copy.listed = this.listed;
    copy.old = this.old;
    copy.floor = this.floor;
    copy.hidden = this.hidden;
    copy.away = this.away;
    copy.workers = [this.workers[0]!, this.workers[1]!, this.workers[2]!];
    return copy;
  }

  /** Every insertion that ever happened. */
  get ever(): number {
    return this.stored | this.purged;
  }

  /** Whether no worker is at work. */
  get idle(): boolean {
    return this.workers.every((worker) => worker === IDLE);
  }
}

/**
 * Packs a state into `words` from `at`. Workers are interchangeable, so states that differ in who does what are one:
 * their words stand in falling order.
 */
export function pack(state: State, words: Uint32Array, at: number): void {
  let [a, b, c] = state.workers as [number, number, number];
  if (a < b) [a, b] = [b, a];
  if (b < c) [b, c] = [c, b];
  if (a < b) [a, b] = [b, a];
  words[at] = state.sending | state.stored << 4 | state.pend << 8 | state.unpub << 12 | state.purged << 16 |
    state.published << 20 | state.entries << 24 | state.old << 28 | state.floor << 30;
  words[at + 1] = state.cells[0]! | state.cells[1]! << 4 | state.cells[2]! << 8 | state.twice << 12 |
    state.listed << 16 | state.hidden << 20 | (state.away ? 1 : 0) << 24;
  words[at + 2] = a | b << 16;
  words[at + 3] = c;
}

/** The state that was packed into `words` at `at`. */
export function unpack(words: Uint32Array, at: number): State {
  const state = new State();
  const [stored, cells, pair] = [words[at]!, words[at + 1]!, words[at + 2]!];
  state.sending = stored & SET;
  state.stored = stored >>> 4 & SET;
  state.pend = stored >>> 8 & SET;
  state.unpub = stored >>> 12 & SET;
  state.purged = stored >>> 16 & SET;
  state.published = stored >>> 20 & SET;
  state.entries = stored >>> 24 & SET;
  state.old = stored >>> 28 & 3;
  state.floor = stored >>> 30;
  state.cells = [cells & SET, cells >>> 4 & SET, cells >>> 8 & SET];
  state.twice = cells >>> 12 & SET;
  state.listed = cells >>> 16 & SET;
  state.hidden = cells >>> 20 & SET;
  state.away = (cells >>> 24 & 1) !== 0;
  state.workers = [pair & 0xffff, pair >>> 16, words[at + 3]!];
  return state;
}
