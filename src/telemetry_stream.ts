/** Metrics of a stream beside the store, and of the workers that count and take in by it. They are asked for at each scrape. */
import { Counter, Gauge, type Registry } from "prom-client";

/** How a consumer group is doing. */
export interface GroupMeasures {
  readonly group: string;
  /** Entries given to consumers and not acknowledged. */
  readonly pending: number;
  /** Entries nobody was given yet; `null` where the server does not tell. */
  readonly lag: number | null;
}

/** What the stream server tells. */
export interface ServerMeasures {
  /** Entries of the live stream and of the inbound one. */
  readonly entries: Readonly<Record<"live" | "inbound", number>>;
  readonly groups: readonly GroupMeasures[];
}

/** What the workers of this process did since they started. */
export interface WorkerMeasures {
  /** Entries that were trimmed before they were acknowledged, by group. */
  readonly lost: Readonly<Record<string, number>>;
  /** How often the stream was trimmed past what a group was given, by group. */
  readonly overruns: Readonly<Record<string, number>>;
  /** Events that were counted although the stream did not bring them. */
  readonly swept: number;
  /** How long the oldest event that is not counted has waited, 0 when none does; `null` when the store does not tell. */
  readonly uncountedAgeMs: number | null;
}

/** What is known of a stream now. */
export interface StreamMeasures {
  /** `null` when it does not answer. */
  readonly server: ServerMeasures | null;
  /** `null` in a process without role `rollup`. */
  readonly workers: WorkerMeasures | null;
}

/** The metrics of a stream in a registry. What is not known has no sample. */
export class StreamMetrics {
  readonly #measure: () => Promise<StreamMeasures>;
  readonly #up: Gauge;
  readonly #entries: Gauge<"stream">;
  readonly #pending: Gauge<"group">;
  readonly #lag: Gauge<"group">;
  readonly #lost: Counter<"group">;
  readonly #overruns: Counter<"group">;
  readonly #swept: Counter;
  readonly #uncountedAge: Gauge;

  constructor(registry: Registry, measure: () => Promise<StreamMeasures>) {
    this.#measure = measure;
    const registers = [registry];
    const gauge = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Gauge({ name, help, labelNames, registers });
    const counter = <Label extends string>(name: string, help: string, ...labelNames: Label[]) =>
      new Counter({ name, help, labelNames, registers });
    this.#up = gauge("eventhub_stream_up", "Whether the stream server answers and can be used");
    this.#entries = gauge("eventhub_stream_entries", "Entries of a stream", "stream");
    this.#pending = gauge("eventhub_stream_group_pending", "Entries given out and not acknowledged", "group");
    this.#lag = gauge("eventhub_stream_group_lag", "Entries not given out yet", "group");
    this.#lost = counter("eventhub_stream_entries_lost_total", "Entries trimmed before a group was done", "group");
    const overruns = "Times the stream was trimmed past what a group was given";
    this.#overruns = counter("eventhub_stream_group_overruns_total", overruns, "group");
    this.#swept = counter("eventhub_swept_events_total", "Events counted that the stream did not bring");
    this.#uncountedAge = gauge("eventhub_uncounted_age_seconds", "Age of the oldest event that is not counted");
  }

  /** Asks anew. */
  async refresh(): Promise<void> {
    const { server, workers } = await this.#measure();
    const metrics = [this.#up, this.#entries, this.#pending, this.#lag, this.#lost, this.#overruns];
    for (const metric of metrics) metric.reset();
    for (const metric of [this.#swept, this.#uncountedAge]) metric.remove();
    this.#up.set(server === null ? 0 : 1);
    for (const [stream, entries] of Object.entries(server?.entries ?? {})) this.#entries.set({ stream }, entries);
    for (const { group, pending, lag } of server?.groups ?? []) {
      this.#pending.set({ group }, pending);
      if (lag !== null) this.#lag.set({ group }, lag);
    }
    if (workers === null) return;
    for (const [group, lost] of Object.entries(workers.lost)) this.#lost.inc({ group }, lost);
    for (const [group, overruns] of Object.entries(workers.overruns)) this.#overruns.inc({ group }, overruns);
    this.#swept.inc(workers.swept);
    if (workers.uncountedAgeMs !== null) this.#uncountedAge.set(workers.uncountedAgeMs / 1_000);
  }
}
