/**
 * Ids of events that came without one: UUID version 7 (RFC 9562, section 5.7), so that ids of one time lie beside each
 * other in an index.
 */

const DIGITS_12_BITS = Array.from({ length: 4096 }, (_, i) => i.toString(16).padStart(3, "0"));
/** The two variant bits (10) and two random ones. */
const VARIANT_DIGITS = ["8", "9", "a", "b"];
const COUNTER_MAX = 4095;
/** A fresh millisecond starts its counter in the lower half, so that 2,048 ids at least fit behind it. */
const COUNTER_START_MAX = 2047;
const RANDOM_WORDS = 4096;
const WORDS_PER_ID = 6;

/**
 * Makes a source of UUIDv7 that only grow, after RFC 9562, section 6.2, method 1: 48 bits of milliseconds, a 12-bit
 * counter that starts at a random value each millisecond, and 62 random bits, which keep the sources of several threads
 * and processes apart. When the counter is used up, or the clock goes back, the time runs ahead of the clock.
 */
export function createEventIds(clock: () => number = Date.now): () => string {
  const random = new Uint16Array(RANDOM_WORDS);
  let used = RANDOM_WORDS;
  let time = -1;
  let counter = COUNTER_MAX;
  let prefix = "";
  return () => {
    if (used + WORDS_PER_ID > RANDOM_WORDS) {
      crypto.getRandomValues(random);
      used = 0;
    }
    const now = clock();
    if (now > time || counter === COUNTER_MAX) {
      time = now > time ? now : time + 1;
      counter = random[used]! & COUNTER_START_MAX;
      const digits = time.toString(16).padStart(12, "0");
      prefix = digits.slice(0, 8) + "-" + digits.slice(8) + "-7";
    } else {
      counter++;
    }
    const a = random[used + 1]!;
    const id = prefix + DIGITS_12_BITS[counter] + "-" + VARIANT_DIGITS[a >> 14] + DIGITS_12_BITS[a & 4095] + "-" +
      DIGITS_12_BITS[random[used + 2]! & 4095] + DIGITS_12_BITS[random[used + 3]! & 4095] +
      DIGITS_12_BITS[random[used + 4]! & 4095] + DIGITS_12_BITS[random[used + 5]! & 4095];
    used += WORDS_PER_ID;
    return id;
  };
}

/** A new UUIDv7 from this thread's source and the machine's clock. */
export const newEventId: () => string = createEventIds();
