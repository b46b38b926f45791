/** What the hub tells about itself: metrics for Prometheus, and logs. */
import {
  configure,
  getAnsiColorFormatter,
  getConsoleSink,
  getJsonLinesFormatter,
  getTextFormatter,
  type LogRecord,
  type TextFormatter,
} from "@logtape/logtape";
import { AggregatorRegistry, Counter, Gauge, Registry } from "prom-client";
import type { Config } from "./config.ts";
import { DeadLetterCounters } from "./dead_letter_counters.ts";
import { type Duration, Durations } from "./durations.ts";
import { HubError } from "./errors.ts";
import type { Source } from "./event.ts";
import type { LiveMessage, LiveSubscription, SubscribeOptions } from "./feed.ts";
import type {
  AggregateMessage,
  AggregateSubscribeOptions,
  AggregateSubscription,
  HubApi,
  IngestResult,
  Published,
  Sender,
} from "./hub.ts";
import { type StreamMeasures, StreamMetrics } from "./telemetry_stream.ts";
import { VERSION } from "./version.ts";

/** What a hub is busy with now. */
export interface Load {
  readonly subscribers: number;
  readonly windowSubscribers: number;
  readonly eventsInFlight: number;
}

/** What became of a sent event. */
type EventStatus = IngestResult["status"] | "failed";

/** The metrics of one thread. */
export class Metrics {
  readonly #registry = new Registry();
  /** Inbound messages that could not be taken. */
  readonly deadLetters = new DeadLetterCounters(this.#registry);
  readonly #requests = new Durations({
    name: "eventhub_http_request_duration_seconds",
    help: "Time from a request to its answer (of a stream: to its beginning)",
  });
  readonly #requestsByRoute = new Map<string, Map<number, Duration>>();
  readonly #ingest = new Durations({
    name: "eventhub_ingest_duration_seconds",
    help: "Time from a decoded event or batch until all of it is on disk",
  });
  readonly #single: Duration;
  readonly #batch: Duration;
  readonly #events = new Map<Source, Map<EventStatus, number>>();
  readonly #delivered: Counter<"kind">;
  readonly #resets: Counter<"reason">;
  readonly #ended: Counter<"reason">;
  readonly #stream: StreamMetrics | null;

  /**
   * `thread` becomes a label of every sample; the thread `http` tells of the process as a whole too, and of the stream
   * beside its store, where there is one.
   */
  constructor(
    options: { thread: "http" | "grpc"; load: () => Load; stream?: (() => Promise<StreamMeasures>) | null },
  ) {
    const { thread, load, stream = null } = options;
    this.#registry.setDefaultLabels({ thread });
    this.#single = this.#ingest.with({ kind: "single" });
    this.#batch = this.#ingest.with({ kind: "batch" });
    this.#registry.registerMetric(this.#requests.asMetric());
    this.#registry.registerMetric(this.#ingest.asMetric());
    this.#countEvents();
    const counter = <Label extends string>(name: string, help: string, label: Label) =>
      new Counter({ name, help, labelNames: [label], registers: [this.#registry] });
    this.#delivered = counter("eventhub_delivered_total", "Messages given to live subscribers", "kind");
    this.#resets = counter("eventhub_stream_resets_total", "Announced losses of continuity", "reason");
    this.#ended = counter("eventhub_subscriptions_ended_total", "Subscriptions the hub ended", "reason");
    this.#gauge("eventhub_live_subscribers", "Open subscriptions of events and of windows", () => {
      const { subscribers, windowSubscribers } = load();
      return subscribers + windowSubscribers;
    });
    this.#gauge("eventhub_events_in_flight", "Events waiting to be stored", () => load().eventsInFlight);
    this.#gauge("eventhub_heap_used_bytes", "Used heap of the thread", () => Deno.memoryUsage().heapUsed);
    if (thread === "http") this.#describeProcess();
    this.#stream = stream === null ? null : new StreamMetrics(this.#registry, stream);
  }

  /** Notes the answer to a request of a route. */
  observeRequest(route: string, status: number, seconds: number): void {
    let statuses = this.#requestsByRoute.get(route);
    if (statuses === undefined) this.#requestsByRoute.set(route, statuses = new Map());
    let duration = statuses.get(status);
    if (duration === undefined) {
      duration = this.#requests.with({ route, status: String(status) });
      statuses.set(status, duration);
    }
    duration.observe(seconds);
  }

  /** Notes one event or batch that was sent. */
  observeIngest(kind: "single" | "batch", seconds: number): void {
    (kind === "single" ? this.#single : this.#batch).observe(seconds);
  }

  /** Counts a sent event. */
  countEvent(source: Source, status: EventStatus): void {
    let statuses = this.#events.get(source);
    if (statuses === undefined) this.#events.set(source, statuses = new Map());
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
  }

  /** Counts what a subscriber of events was given. */
  countLive(message: LiveMessage): void {
    if (message.kind === "events") this.#delivered.inc({ kind: "events" }, message.batch.events.length);
    else if (message.kind === "reset") this.#resets.inc({ reason: message.reason });
  }

  /** Counts what a subscriber of windows was given. */
  countRows(message: AggregateMessage): void {
    if (message.kind === "rows") this.#delivered.inc({ kind: "rows" }, message.rows.length);
  }

  /** Counts a subscription once the hub ends it; one that its client closes is not counted. */
  watch(subscription: { readonly ended: AbortSignal }): () => void {
    const { ended } = subscription;
    const count = () => this.#ended.inc({ reason: String(ended.reason) });
    ended.addEventListener("abort", count, { once: true });
    return () => ended.removeEventListener("abort", count);
  }

  /** Everything measured, as plain data that can be sent to another thread. */
  async snapshot(): Promise<unknown> {
    await this.#stream?.refresh();
    return await this.#registry.getMetricsAsJSON();
  }

  /** Everything measured here and, by {@link snapshot}, in other threads, in Prometheus' text format. */
  async text(others: readonly unknown[] = []): Promise<string> {
    const snapshots = [await this.snapshot(), ...others].filter((each) => Array.isArray(each) && each.length > 0);
    return await AggregatorRegistry.aggregate(snapshots as object[]).metrics();
  }

  /** The counts are plain numbers until somebody asks. */
  #countEvents(): void {
    const events = this.#events;
    new Counter({
      name: "eventhub_events_total",
      help: "Events sent, by protocol and by what became of them",
      labelNames: ["source", "status"],
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const [source, statuses] of events) {
          for (const [status, count] of statuses) this.inc({ source, status }, count);
        }
      },
    });
  }

  #describeProcess(): void {
    const startedAt = Date.now() / 1000;
    this.#gauge("process_resident_memory_bytes", "Resident memory of the process", () => Deno.memoryUsage().rss);
    this.#gauge("process_start_time_seconds", "Start of the process since the epoch", () => startedAt);
    new Gauge({
      name: "eventhub_build_info",
      help: "The version that runs",
      labelNames: ["version"],
      registers: [this.#registry],
    }).set({ version: VERSION }, 1);
  }

  #gauge(name: string, help: string, read: () => number): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        this.set(read());
      },
    });
  }
}

/** The same hub, measured. */
export function withMetrics(hub: HubApi, metrics: Metrics): HubApi {
  return {
    publish: (...call) => publish({ hub, metrics }, call),
    publishBatch: (inputs, sender) => publishBatch({ hub, metrics }, inputs, sender),
    subscribe: async (options: SubscribeOptions) => new MeasuredSubscription(await hub.subscribe(options), metrics),
    subscribeAggregates: async (options: AggregateSubscribeOptions) =>
      new MeasuredAggregateSubscription(await hub.subscribeAggregates(options), metrics),
    get: (tenant, id) => hub.get(tenant, id),
    list: (filter, page) => hub.list(filter, page),
    aggregates: (request) => hub.aggregates(request),
    aggregatedMetrics: (tenant, minutes) => hub.aggregatedMetrics(tenant, minutes),
    streamHead: (tenant) => hub.streamHead(tenant),
    verify: (range) => hub.verify(range),
    rebuild: (range) => hub.rebuild(range),
    health: () => hub.health(),
  };
}

interface Measured {
  readonly hub: HubApi;
  readonly metrics: Metrics;
}

async function publish({ hub, metrics }: Measured, call: Parameters<HubApi["publish"]>): Promise<Published> {
  const [, sender] = call;
  const startedAt = performance.now();
  try {
    const published = await hub.publish(...call);
    metrics.countEvent(sender.source, published.duplicate ? "duplicate" : "stored");
    metrics.observeIngest("single", (performance.now() - startedAt) / 1000);
    return published;
  } catch (error) {
    metrics.countEvent(sender.source, statusOf(error));
    throw error;
  }
}

async function publishBatch(
  { hub, metrics }: Measured,
  inputs: readonly unknown[],
  sender: Sender,
): Promise<readonly IngestResult[]> {
  const startedAt = performance.now();
  const results = await hub.publishBatch(inputs, sender);
  for (const { status } of results) metrics.countEvent(sender.source, status);
  metrics.observeIngest("batch", (performance.now() - startedAt) / 1000);
  return results;
}

function statusOf(error: unknown): EventStatus {
  if (!(error instanceof HubError)) return "failed";
  if (error.retryable) return "unavailable";
  return error.code === "conflict" ? "conflict" : error.code === "invalid_argument" ? "invalid" : "failed";
}

class MeasuredSubscription implements LiveSubscription {
  readonly #inner: LiveSubscription;
  readonly #metrics: Metrics;
  readonly #unwatch: () => void;

  constructor(inner: LiveSubscription, metrics: Metrics) {
    this.#inner = inner;
    this.#metrics = metrics;
    this.#unwatch = metrics.watch(inner);
  }

  get cursor(): string {
    return this.#inner.cursor;
  }

  get ended(): AbortSignal {
    return this.#inner.ended;
  }

  async next(): Promise<LiveMessage> {
    const message = await this.#inner.next();
    this.#metrics.countLive(message);
    return message;
  }

  close(): void {
    this.#unwatch();
    this.#inner.close();
  }
}

class MeasuredAggregateSubscription implements AggregateSubscription {
  readonly #inner: AggregateSubscription;
  readonly #metrics: Metrics;
  readonly #unwatch: () => void;

  constructor(inner: AggregateSubscription, metrics: Metrics) {
    this.#inner = inner;
    this.#metrics = metrics;
    this.#unwatch = metrics.watch(inner);
  }

  get ended(): AbortSignal {
    return this.#inner.ended;
  }

  async next(): Promise<AggregateMessage> {
    const message = await this.#inner.next();
    this.#metrics.countRows(message);
    return message;
  }

  close(): void {
    this.#unwatch();
    this.#inner.close();
  }
}

/** Sends the log to the console of this thread, at the level and in the format of the configuration. */
export async function configureLogging(config: Pick<Config, "logLevel" | "logFormat">): Promise<void> {
  const formatter = config.logFormat === "json" ? getJsonLinesFormatter() : prettyFormatter();
  await configure({
    reset: true,
    sinks: { console: getConsoleSink({ formatter }) },
    loggers: [
      { category: "eventhub", lowestLevel: config.logLevel, sinks: ["console"] },
      { category: ["logtape", "meta"], lowestLevel: "warning", sinks: ["console"] },
    ],
  });
}

/** A line for people, with the properties that the message does not show behind it. */
function prettyFormatter(): TextFormatter {
  const options = {
    timestamp: "time",
    category: (category: readonly string[]) => category.slice(1).join("."),
  } as const;
  const format = Deno.stdout.isTerminal() ? getAnsiColorFormatter(options) : getTextFormatter(options);
  return (record) => {
    const line = format(record).trimEnd();
    const shown = String(record.rawMessage);
    const rest = Object.entries(record.properties).filter(([name]) => !shown.includes(`{${name}}`));
    return line + rest.map(([name, value]) => ` ${name}=${inspect(value)}`).join("") + "\n";
  };
}

function inspect(value: LogRecord["properties"][string]): string {
  return typeof value === "string" ? value : Deno.inspect(value, { colors: false, depth: 4 });
}
