/** How many questions of clients the database is asked at once, so that storing and counting always find a connection. */
import { HubError } from "../errors.ts";
import { MONGODB_READ_WAIT_MS, MONGODB_READS_MAX, MONGODB_READS_WAITING_MAX } from "../limits.ts";

/** Lets a few questions through at once, some more wait, and all others are refused as `overloaded`. */
export class Gate {
  readonly #waiting = new Set<() => void>();
  #running = 0;

  /** Does the work when its turn has come. */
  async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= MONGODB_READS_MAX) await this.#turn();
    else this.#running++;
    try {
      return await work();
    } finally {
      const [next] = this.#waiting;
      // The place goes over to who has waited longest.
      if (next === undefined) this.#running--;
      else next();
    }
  }

  #turn(): Promise<void> {
    if (this.#waiting.size >= MONGODB_READS_WAITING_MAX) return Promise.reject(overloaded());
    return new Promise((resolve, reject) => {
      const begin = () => {
        clearTimeout(timer);
        this.#waiting.delete(begin);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting.delete(begin);
        reject(overloaded());
      }, MONGODB_READ_WAIT_MS);
      this.#waiting.add(begin);
    });
  }
}

function overloaded(): HubError {
  return new HubError("overloaded", "The database has too many questions to answer");
}
