/**
 * A histogram of logarithmic buckets with a relative error of 1 %, after DDSketch (Masson, Rim, Lee: "DDSketch: A Fast
 * and Fully-Mergeable Quantile Sketch with Relative-Error Guarantees", VLDB 2019): an amount x > 0 falls into bucket
 * ⌈log_γ x⌉ with γ = (1 + α) / (1 − α), α = 0.01. Zero and negative amounts are kept apart. Histograms merge by addition.
 */
import type { Amount } from "./amount.ts";

/** Counts by bucket. Amounts are in units of 1/10,000. */
export class Histogram {
  /** Adds an amount `times` times. */
  add(_amount: Amount, _times = 1): void {
    throw new Error("unwritten");
  }

  /** Adds another histogram to this one. */
  merge(_other: Histogram): void {
    throw new Error("unwritten");
  }

  /** Number of amounts in it. */
  get count(): number {
    throw new Error("unwritten");
  }

  /**
   * The amount at the nearest rank ⌈p·n⌉ of 0 < p ≤ 1, within 1 %, clamped to [min, max]. Throws on an empty histogram.
   */
  percentile(_p: number, _bounds: { min: Amount; max: Amount }): Amount {
    throw new Error("unwritten");
  }

  /** A compact form for storage; {@link Histogram.decode} is its inverse. */
  encode(): Uint8Array {
    throw new Error("unwritten");
  }

  /** Reads {@link encode}'s form, adding to `into` when given. Throws `Error` on bytes that are not one. */
  static decode(_bytes: Uint8Array, _into?: Histogram): Histogram {
    throw new Error("unwritten");
  }

  /** Whether both have the same counts. */
  equals(_other: Histogram): boolean {
    throw new Error("unwritten");
  }
}
