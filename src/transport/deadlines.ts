/** One coarse timer for everything that waits for a client; it exists only while something does. */

/** Something that waits: since which sweep, and what to do when that is too long ago. */
interface Waiting {
  readonly since: number;
  readonly expire: () => void;
}

/** Sweeps in the length of one deadline: what is late is noticed after at most a quarter more. */
const SWEEPS = 4;

/** Deadlines of one length, cheap enough for every request: no timer and no look at the clock of their own. */
export class Deadlines {
  readonly #sweepMs: number;
  /** In the order of their deadlines, since all have the same length. */
  readonly #waiting = new Set<Waiting>();
  #sweeps = 0;
  #timer: ReturnType<typeof setInterval> | null = null;

  /** What waits longer than this has expired. */
  constructor(deadlineMs: number) {
    this.#sweepMs = deadlineMs / SWEEPS;
  }

  /** Waits for a promise; rejects with what `late` makes when it takes too long. The promise itself goes on. */
  guard<T>(promise: Promise<T>, late: () => Error): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const waiting: Waiting = { since: this.#sweeps, expire: () => reject(late()) };
      this.#waiting.add(waiting);
      this.#timer ??= setInterval(() => this.#sweep(), this.#sweepMs);
      promise.then((value) => {
        this.#done(waiting);
        resolve(value);
      }, (error) => {
        this.#done(waiting);
        reject(error);
      });
    });
  }

  /** Lets everything that waits expire now, whatever it waits for. */
  expireAll(): void {
    for (const waiting of this.#waiting) waiting.expire();
    this.#waiting.clear();
    this.#rest();
  }

  #done(waiting: Waiting): void {
    this.#waiting.delete(waiting);
    if (this.#waiting.size === 0) this.#rest();
  }

  #sweep(): void {
    this.#sweeps += 1;
    for (const waiting of this.#waiting) {
      if (this.#sweeps - waiting.since <= SWEEPS) break;
      this.#waiting.delete(waiting);
      waiting.expire();
    }
    if (this.#waiting.size === 0) this.#rest();
  }

  #rest(): void {
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
  }
}
