/** Names of insertions: each is another, and their order is the order of arrival. */
import { ObjectId } from "mongodb";

const NUMBERS_PER_MS = 1 << 24;

/**
 * Gives ObjectIds of milliseconds (6 bytes), a number within the millisecond (3) and a number of the process (3), so
 * that they sort by arrival to the millisecond over all processes, and exactly within one. MongoDB's own sort to the
 * second only.
 */
export class Arrivals {
  readonly #process = crypto.getRandomValues(new Uint8Array(3));
  #lastMs = 0;
  #number = 0;

  /** The next one; `now` in milliseconds. */
  next(now: number): ObjectId {
    // A clock that is put back must not make later events earlier ones.
    if (now > this.#lastMs) {
      this.#lastMs = now;
      this.#number = 0;
    } else if (++this.#number === NUMBERS_PER_MS) {
      this.#lastMs++;
      this.#number = 0;
    }
    const bytes = new Uint8Array(12);
    const view = new DataView(bytes.buffer);
    view.setUint16(0, Math.floor(this.#lastMs / 2 ** 32));
    view.setUint32(2, this.#lastMs % 2 ** 32);
    view.setUint8(6, this.#number >>> 16);
    view.setUint16(7, this.#number & 0xffff);
    bytes.set(this.#process, 9);
    return new ObjectId(bytes);
  }
}
