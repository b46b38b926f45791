/**
 * Histograms of durations for the hot path: about 50 ns an observation, where prom-client's own take a microsecond.
 * They stand in a prom-client registry beside its own metrics.
 */
import type { Metric } from "prom-client";

/** Upper bounds in seconds: from a commit on a fast disk to the longest deadline. */
const BOUNDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

type Labels = Readonly<Record<string, string>>;

/** The durations of one set of labels. */
export class Duration {
  readonly #counts = new Float64Array(BOUNDS.length + 1);
  #sum = 0;

  /** Adds one duration, in seconds. */
  observe(seconds: number): void {
    let bucket = 0;
    while (bucket < BOUNDS.length && seconds > BOUNDS[bucket]!) bucket++;
    this.#counts[bucket]! += 1;
    this.#sum += seconds;
  }

  /** The samples as prom-client has them: cumulative buckets, sum and count. */
  samples(name: string, labels: Labels): object[] {
    let count = 0;
    const buckets = [...BOUNDS, "+Inf"].map((le, bucket) => {
      count += this.#counts[bucket]!;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: count };
    });
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sum },
      { metricName: `${name}_count`, labels, value: count },
    ];
  }
}

/** A histogram of durations by labels. */
export class Durations {
  readonly name: string;
  readonly help: string;
  readonly #members: { readonly labels: Labels; readonly duration: Duration }[] = [];

  constructor(options: { name: string; help: string }) {
    this.name = options.name;
    this.help = options.help;
  }

  /** A new member; whoever observes keeps it. Its labels must differ from those of the others. */
  with(labels: Labels): Duration {
    const duration = new Duration();
    this.#members.push({ labels, duration });
    return duration;
  }

  /** What a registry takes: of a metric it uses `name` and `get` alone. */
  asMetric(): Metric {
    const metric = {
      name: this.name,
      get: () =>
        Promise.resolve({
          name: this.name,
          help: this.help,
          type: "histogram",
          aggregator: "sum",
          values: this.#members.flatMap(({ labels, duration }) => duration.samples(this.name, labels)),
        }),
    };
    return metric as unknown as Metric;
  }
}
