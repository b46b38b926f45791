/**
 * A histogram of logarithmic buckets with a relative error of 1 %, after DDSketch (Masson, Rim, Lee: "DDSketch: A Fast
 * and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", VLDB 2019). Zero and negative amounts are kept
 * apart. Histograms merge by addition.
 *
 * The paper's bucket of x is ⌈log_γ x⌉ with γ = (1 + α) / (1 − α). Amounts are integers, and so are the answers; a
 * logarithm would put two neighbours into one bucket that no integer represents within 1 %, and its rounding would
 * decide at the edges. So the edges here are integers, made from one another: a bucket that begins at `low` is
 * represented by the largest integer within 1 % of `low`, and reaches to the largest integer that is within 1 % of it.
 * Below 99 units each amount has its own bucket; beyond, the width tends to the paper's γ.
 */
import type { Amount } from "./amount.ts";
import { AMOUNT_ABSOLUTE_MAX } from "./limits.ts";

/** First byte of the encoded form. */
const FORM_VERSION = 1;
/** 1 / α. */
const ERROR_DIVISOR = 100;
const AMOUNT_MAX = AMOUNT_ABSOLUTE_MAX * 10_000;
const CONTINUES = 0x80;
const LOW_BITS = 0x7f;

const { uppers: UPPERS, middles: MIDDLES } = makeBuckets();
/** First bucket to look at for a double, by its exponent and the upper six bits of its fraction. */
const GUIDE_SHIFT = 14;
const double = new Float64Array(1);
/** The double's upper half, on the little-endian machines that Deno runs on. */
const halves = new Uint32Array(double.buffer);
const GUIDE_BASE = guideKey(1);
const GUIDE = makeGuide();

/** Counts by bucket. Amounts are in units of 1/10,000. */
export class Histogram {
  /** What {@link Histogram.decode} was given, until somebody asks: most are only merged, straight from their bytes. */
  #encoded: Uint8Array | null = null;
  #counts: Counts | null = null;

  /** Adds an amount `times` times. */
  add(amount: Amount, times = 1): void {
    const counts = this.#open();
    if (amount === 0) counts.zeros += times;
    else if (amount > 0) counts.positive.add(bucketOf(amount), times);
    else counts.negative.add(bucketOf(-amount), times);
  }

  /** Adds another histogram to this one. */
  merge(other: Histogram): void {
    const counts = this.#open();
    if (other.#encoded !== null) {
      addEncoded(counts, other.#encoded);
    } else if (other.#counts !== null) {
      counts.zeros += other.#counts.zeros;
      counts.negative.merge(other.#counts.negative);
      counts.positive.merge(other.#counts.positive);
    }
  }

  /** Takes the amounts of another out of this one; false, and then it is of no use any more, when they are not all in it. */
  subtract(other: Histogram): boolean {
    const counts = this.#open();
    const { zeros, negative, positive } = other.#open();
    counts.zeros -= zeros;
    counts.negative.merge(negative, -1);
    counts.positive.merge(positive, -1);
    return counts.zeros >= 0 && counts.negative.isSound && counts.positive.isSound;
  }

  /** Makes it empty, keeping its room for the next. */
  clear(): void {
    this.#encoded = null;
    if (this.#counts === null) return;
    this.#counts.zeros = 0;
    this.#counts.negative.clear();
    this.#counts.positive.clear();
  }

  /** Number of amounts in it. */
  get count(): number {
    const { zeros, negative, positive } = this.#open();
    return zeros + negative.total + positive.total;
  }

  /**
   * The amount at the nearest rank ⌈p·n⌉ of 0 < p ≤ 1, within 1 %, clamped to [min, max]. Throws on an empty histogram.
   */
  percentile(p: number, bounds: { min: Amount; max: Amount }): Amount {
    const count = this.count;
    if (!(p > 0 && p <= 1)) {
      throw new RangeError(`Cannot give a percentile as p must be in (0, 1]: current value is ${p}`);
    }
    if (count === 0) throw new RangeError("Cannot give a percentile as the histogram is empty");
    // A product such as 0.07 × 100 lies a hair above the integer it means.
    const product = p * count;
    const rounded = Math.round(product);
    const rank = Math.max(1, Math.abs(product - rounded) < 1e-9 * count ? rounded : Math.ceil(product));
    return Math.min(Math.max(amountAtRank(this.#open(), rank), bounds.min), bounds.max);
  }

  /** A compact form for storage; {@link Histogram.decode} is its inverse. */
  encode(): Uint8Array {
    const { zeros, negative, positive } = this.#open();
    const bytes: number[] = [FORM_VERSION];
    writeNumber(bytes, zeros);
    negative.encode(bytes);
    positive.encode(bytes);
    return Uint8Array.from(bytes);
  }

  /**
   * Reads {@link encode}'s form, adding to `into` when given. Throws `Error` on bytes that are not one: of an unknown
   * form at once, of damaged ones when they are first used. The bytes must not change afterwards.
   */
  static decode(bytes: Uint8Array, into?: Histogram): Histogram {
    if (bytes[0] !== FORM_VERSION) throw new Error("Cannot read the histogram as its form is not known");
    if (into !== undefined) {
      addEncoded(into.#open(), bytes);
      return into;
    }
    const histogram = new Histogram();
    histogram.#encoded = bytes;
    return histogram;
  }

  /** Whether both have the same counts. */
  equals(other: Histogram): boolean {
    const left = this.#open();
    const right = other.#open();
    return left.zeros === right.zeros && left.negative.equals(right.negative) && left.positive.equals(right.positive);
  }

  #open(): Counts {
    this.#counts ??= { zeros: 0, negative: new Buckets(), positive: new Buckets() };
    if (this.#encoded !== null) {
      addEncoded(this.#counts, this.#encoded);
      this.#encoded = null;
    }
    return this.#counts;
  }
}

interface Counts {
  zeros: number;
  readonly negative: Buckets;
  readonly positive: Buckets;
}

function addEncoded(counts: Counts, bytes: Uint8Array): void {
  const reader = new Reader(bytes);
  reader.next();
  counts.zeros += reader.next();
  counts.negative.decode(reader);
  counts.positive.decode(reader);
  if (!reader.isAtEnd) throw new Error("Cannot read the histogram as bytes follow it");
}

function amountAtRank(counts: Counts, rank: number): Amount {
  const { zeros, negative, positive } = counts;
  if (rank <= negative.total) return -MIDDLES[negative.bucketAtRank(negative.total - rank + 1)]!;
  const left = rank - negative.total;
  return left <= zeros ? 0 : MIDDLES[positive.bucketAtRank(left - zeros)]!;
}

/** Counts of the buckets of one sign: dense between the first and the last that were used. */
class Buckets {
  total = 0;
  #offset = 0;
  #counts = new Float64Array(0);

  add(bucket: number, times: number): void {
    this.#cover(bucket, bucket);
    this.#counts[bucket - this.#offset]! += times;
    this.total += times;
  }

  get isSound(): boolean {
    return this.#counts.every((count) => count >= 0);
  }

  merge(other: Buckets, sign = 1): void {
    if (other.total === 0) return;
    const from = other.#counts;
    this.#cover(other.#offset, other.#offset + from.length - 1);
    const shift = other.#offset - this.#offset;
    for (let i = 0; i < from.length; i++) this.#counts[i + shift]! += sign * from[i]!;
    this.total += sign * other.total;
  }

  clear(): void {
    this.#counts.fill(0);
    this.total = 0;
  }

  /** The bucket that holds the amount of that rank (from 1), counted from the smallest bucket. */
  bucketAtRank(rank: number): number {
    if (rank > this.total) throw new RangeError(`Cannot find rank ${rank} as there are ${this.total} amounts`);
    const counts = this.#counts;
    // From the nearer end: of most amounts the upper percentiles lie in the last few buckets.
    if (rank < this.total / 2) {
      let i = 0;
      for (let seen = counts[0]!; seen < rank; seen += counts[i]!) i++;
      return this.#offset + i;
    }
    let i = counts.length - 1;
    for (let below = this.total - counts[i]!; below >= rank; below -= counts[i]!) i--;
    return this.#offset + i;
  }

  /** The number of used buckets; if any: the first, the span to the last, and for each the step from the one before and its count. */
  encode(bytes: number[]): void {
    const used: number[] = [];
    for (let i = 0; i < this.#counts.length; i++) if (this.#counts[i] !== 0) used.push(i);
    writeNumber(bytes, used.length);
    if (used.length === 0) return;
    const first = used[0]!;
    writeNumber(bytes, this.#offset + first);
    writeNumber(bytes, used[used.length - 1]! - first);
    let previous = first;
    for (const i of used) {
      writeNumber(bytes, i - previous);
      writeNumber(bytes, this.#counts[i]!);
      previous = i;
    }
  }

  decode(reader: Reader): void {
    const used = reader.next();
    if (used === 0) return;
    const first = reader.next();
    const last = first + reader.next();
    if (last >= UPPERS.length) throw new Error("Cannot read the histogram as it names a bucket that does not exist");
    this.#cover(first, last);
    let bucket = first;
    for (let i = 0; i < used; i++) {
      bucket += reader.next();
      if (bucket > last) throw new Error("Cannot read the histogram as its buckets are out of bounds");
      const count = reader.next();
      this.#counts[bucket - this.#offset]! += count;
      this.total += count;
    }
  }

  equals(other: Buckets): boolean {
    if (this.total !== other.total) return false;
    const first = Math.min(this.#offset, other.#offset);
    const end = Math.max(this.#offset + this.#counts.length, other.#offset + other.#counts.length);
    for (let bucket = first; bucket < end; bucket++) {
      if ((this.#counts[bucket - this.#offset] ?? 0) !== (other.#counts[bucket - other.#offset] ?? 0)) return false;
    }
    return true;
  }

  #cover(first: number, last: number): void {
    const length = this.#counts.length;
    if (length === 0) {
      this.#offset = first;
      this.#counts = new Float64Array(last - first + 1);
    } else if (first < this.#offset || last >= this.#offset + length) {
      const offset = Math.min(first, this.#offset);
      const counts = new Float64Array(Math.max(last + 1, this.#offset + length) - offset);
      counts.set(this.#counts, this.#offset - offset);
      this.#offset = offset;
      this.#counts = counts;
    }
  }
}

/** Reads the numbers of the encoded form: seven bits a byte, the lowest first. */
class Reader {
  readonly #bytes: Uint8Array;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  next(): number {
    const first = this.#bytes[this.#at++];
    if (first !== undefined && first < CONTINUES) return first;
    let value = (first ?? 0) & LOW_BITS;
    for (let scale = CONTINUES; this.#at < this.#bytes.length && scale <= Number.MAX_SAFE_INTEGER; scale *= CONTINUES) {
      const byte = this.#bytes[this.#at++]!;
      value += (byte & LOW_BITS) * scale;
      if (byte < CONTINUES) {
        if (value > Number.MAX_SAFE_INTEGER) break;
        return value;
      }
    }
    throw new Error("Cannot read the histogram as its bytes are cut or damaged");
  }
}

function writeNumber(bytes: number[], value: number): void {
  let rest = value;
  while (rest >= CONTINUES) {
    bytes.push((rest % CONTINUES) + CONTINUES);
    rest = Math.floor(rest / CONTINUES);
  }
  bytes.push(rest);
}

/** The bucket of a positive amount: the first whose upper edge is not below it. */
function bucketOf(amount: number): number {
  if (amount > AMOUNT_MAX) {
    throw new RangeError(`Cannot count an amount above ${AMOUNT_MAX}: current value is ${amount}`);
  }
  let bucket = GUIDE[guideKey(amount) - GUIDE_BASE]!;
  while (UPPERS[bucket]! < amount) bucket++;
  return bucket;
}

function guideKey(amount: number): number {
  double[0] = amount;
  return halves[1]! >>> GUIDE_SHIFT;
}

function makeBuckets(): { uppers: Float64Array; middles: Float64Array } {
  const uppers: number[] = [];
  const middles: number[] = [];
  for (let low = 1; low <= AMOUNT_MAX;) {
    const middle = low + Math.floor(low / ERROR_DIVISOR);
    const upper = Math.floor((middle * ERROR_DIVISOR) / (ERROR_DIVISOR - 1));
    middles.push(middle);
    uppers.push(upper);
    low = upper + 1;
  }
  return { uppers: Float64Array.from(uppers), middles: Float64Array.from(middles) };
}

function makeGuide(): Uint16Array {
  const guide = new Uint16Array(guideKey(AMOUNT_MAX) - GUIDE_BASE + 1);
  let bucket = 0;
  for (let i = 0; i < guide.length; i++) {
    halves[1] = (GUIDE_BASE + i) << GUIDE_SHIFT;
    halves[0] = 0;
    while (UPPERS[bucket]! < double[0]!) bucket++;
    guide[i] = bucket;
  }
  return guide;
}
