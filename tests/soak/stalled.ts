/**
 * Subscribers that do not read, many of each protocol, beside healthy ones under a steady load. The hub must live on
 * with bounded memory, serve the healthy ones in time, let go of the stalled ones after 30 s and write nothing to them
 * any more, and each of them must be able to go on behind the last event it finds in its socket.
 *
 * `deno task soak:stalled --each 200 --seconds 120 --rate 500`
 */
import { metricSum, streamHead } from "./api.ts";
import { Conversation } from "./conversation.ts";
import { FOLLOW_PROTOCOLS, type FollowProtocol } from "./follow.ts";
import { Ledger } from "./ledger.ts";
import { sendPaced } from "./mixed_load.ts";
import { conclude, percentile, readNumbers, type Report } from "./options.ts";
import { pause } from "./pace.ts";
import { type HubProcess, startHub } from "./process.ts";
import { ndjsonSender } from "./send.ts";
import { digestOf, type StalledOrder, type StalledResult, type StalledSubscriber } from "./stalled_client.ts";
import { Subscriber } from "./subscriber.ts";
import { type TypicalEvent, typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface StalledOptions {
  /** Stalled subscribers of each protocol. */
  readonly each: number;
  /** Healthy subscribers of each protocol. */
  readonly healthy: number;
  /** Time the stalled ones stay connected. */
  readonly seconds: number;
  readonly eventsPerSecond: number;
  /** Events stored at full speed first: page caches and heaps grow to their usual size, which is not to be measured. */
  readonly warmUpEvents: number;
  /** Load before they connect, after which memory is first looked at. */
  readonly warmUpSeconds: number;
  /** Whether all must be released within the time; too short a run cannot fill their sockets. */
  readonly mustRelease: boolean;
  /** What 99 of 100 deliveries to healthy subscribers may take, from sending to receiving. */
  readonly healthyP99MaxMs: number;
}

const RSS_GROWTH_MAX_MIB = 150;
/** Events read behind the last cursor of each stalled subscriber. */
const RESUMED_EVENTS = 50;
const RESUMES_AT_ONCE = 8;
const WARM_UP_BATCH_EVENTS = 1_000;
const LIVE_SUBSCRIBERS = "eventhub_live_subscribers";
const MIB = 2 ** 20;
const STALLED_CLIENT = ["run", "-A", new URL("stalled_client.ts", import.meta.url).pathname];

/** Runs it. */
export async function runStalled(options: StalledOptions): Promise<Report> {
  await using hub = await startHub();
  return await new StalledRun(hub, options).run();
}

class StalledRun {
  readonly #hub: HubProcess;
  readonly #options: StalledOptions;
  readonly #ledger = new Ledger();
  readonly #violations: string[] = [];
  readonly #sentAt: number[] = [];
  readonly #latencies: number[] = [];
  #rssMax = 0;
  #releasedSeconds = NaN;
  /** Events sent when the hub let the last one go. */
  #sentAtRelease = Infinity;

  constructor(hub: HubProcess, options: StalledOptions) {
    this.#hub = hub;
    this.#options = options;
  }

  async run(): Promise<Report> {
    await this.#warmUp();
    const start = await streamHead(this.#hub.httpUrl);
    const healthy = FOLLOW_PROTOCOLS.flatMap((protocol) =>
      Array.from({ length: this.#options.healthy }, (_, number) => this.#follow(protocol, { number, after: start }))
    );
    const stop = new AbortController();
    const sending = this.#send(stop.signal);
    await pause(this.#options.warmUpSeconds * 1_000);
    const rssBefore = this.#hub.rss();
    const order: StalledOrder = {
      httpAddress: new URL(this.#hub.httpUrl).host,
      grpcAddress: this.#hub.grpcAddress,
      after: await streamHead(this.#hub.httpUrl),
      each: this.#options.each,
    };
    await using stalled = new Conversation(Deno.execPath(), [...STALLED_CLIENT, JSON.stringify(order)]);
    await stalled.hear();
    await this.#watch(healthy.length);
    stop.abort();
    await sending;
    await stalled.say();
    const { subscribers }: StalledResult = JSON.parse(await stalled.hear());
    await this.#sendTail();
    await Promise.all(healthy.map((one) => one.whenReceived(this.#ledger.acknowledged.size, 60_000)));
    await this.#checkStalled(subscribers, healthy[0]!.ids);
    for (const one of healthy) await one.cut();
    return this.#report(rssBefore, subscribers);
  }

  async #warmUp(): Promise<void> {
    const sender = ndjsonSender(this.#hub.httpUrl, WARM_UP_BATCH_EVENTS);
    for (let sent = 0; sent < this.#options.warmUpEvents; sent += WARM_UP_BATCH_EVENTS) {
      await sender.send(Array.from({ length: WARM_UP_BATCH_EVENTS }, (_, index) => {
        return typicalEvent(sent + index, { prefix: "warm" });
      }));
    }
    sender.close();
  }

  #follow(protocol: FollowProtocol, options: { number: number; after: string }): Subscriber {
    const subscriber = new Subscriber(protocol, options);
    subscriber.onEvent = () => {
      const sentAt = this.#sentAt[Number(subscriber.ids.at(-1)!.slice("stalled-".length))]!;
      this.#latencies.push(performance.now() - sentAt);
    };
    subscriber.connect(this.#hub);
    return subscriber;
  }

  #next(): TypicalEvent {
    const index = this.#sentAt.push(performance.now()) - 1;
    return typicalEvent(index, { prefix: "stalled" });
  }

  #send(signal: AbortSignal): Promise<void> {
    const { eventsPerSecond } = this.#options;
    return sendPaced({ hub: this.#hub, eventsPerSecond, ledger: this.#ledger, next: () => this.#next(), signal });
  }

  /** Something to go on with, also for a subscriber whose socket took everything so far. */
  async #sendTail(): Promise<void> {
    const sender = ndjsonSender(this.#hub.httpUrl, RESUMED_EVENTS);
    await this.#ledger.send(sender, Array.from({ length: RESUMED_EVENTS }, () => this.#next()));
  }

  /** Looks once a second at memory and at how many subscribers the hub counts. */
  async #watch(healthy: number): Promise<void> {
    const startedAt = performance.now();
    const all = healthy + this.#options.each * FOLLOW_PROTOCOLS.length;
    let seconds = 0;
    while (seconds < this.#options.seconds) {
      await pause(1_000);
      seconds = (performance.now() - startedAt) / 1_000;
      this.#rssMax = Math.max(this.#rssMax, this.#hub.rss());
      const live = await metricSum(this.#hub.httpUrl, LIVE_SUBSCRIBERS);
      if (live > all) this.#violations.push(`${live} subscribers are counted after ${seconds} s; there are ${all}`);
      if (live < healthy) {
        this.#violations.push(`${live} subscribers are counted after ${seconds} s: healthy ones are gone`);
      }
      if (live <= healthy && Number.isNaN(this.#releasedSeconds)) {
        this.#releasedSeconds = seconds;
        this.#sentAtRelease = this.#sentAt.length;
      }
    }
    if (this.#options.mustRelease && Number.isNaN(this.#releasedSeconds)) {
      const live = await metricSum(this.#hub.httpUrl, LIVE_SUBSCRIBERS);
      this.#violations.push(`After ${seconds} s ${live} subscribers are left; ${healthy} of them are healthy`);
    }
  }

  /** `log` begins earlier than the stalled ones: their first event is looked up in it. */
  async #checkStalled(subscribers: readonly StalledSubscriber[], log: readonly string[]): Promise<void> {
    const waiting = [...subscribers.entries()];
    const check = async () => {
      for (let entry = waiting.pop(); entry !== undefined; entry = waiting.pop()) {
        const [number, one] = entry;
        await this.#checkOne(one, { number, log }).catch((error) => this.#violations.push(String(error)));
      }
    };
    await Promise.all(Array.from({ length: RESUMES_AT_ONCE }, check));
  }

  async #checkOne(one: StalledSubscriber, { number, log }: { number: number; log: readonly string[] }): Promise<void> {
    const name = `stalled ${one.protocol}#${number}`;
    const resumed = new Subscriber(one.protocol, { number, after: one.lastCursor });
    resumed.connect(this.#hub);
    await resumed.whenReceived(RESUMED_EVENTS, 10_000);
    await resumed.cut();
    const next = log.indexOf(resumed.ids[0]!);
    const before = log.slice(next - one.events, next);
    if (one.events === 0) this.#violations.push(`${name} got no event at all`);
    if (await digestOf(before) !== one.digest) {
      this.#violations.push(`${name}: its ${one.events} events and what follows them are not a piece of the log`);
    }
    const expected = log.slice(next, next + RESUMED_EVENTS);
    if (!expected.every((id, index) => resumed.ids[index] === id)) {
      this.#violations.push(`${name} resumed out of order`);
    }
    const last = Math.max(...before.slice(-RESUMED_EVENTS).map((id) => Number(id.slice("stalled-".length))));
    if (last > this.#sentAtRelease) this.#violations.push(`${name} was written to after it was released`);
  }

  #report(rssBefore: number, subscribers: readonly StalledSubscriber[]): Report {
    const growthMib = (this.#rssMax - rssBefore) / MIB;
    const p99 = percentile(this.#latencies, 0.99);
    if (growthMib >= RSS_GROWTH_MAX_MIB) this.#violations.push(`Memory grew by ${growthMib} MiB`);
    if (!(p99 < this.#options.healthyP99MaxMs)) this.#violations.push(`A healthy subscriber waits ${p99} ms (p99)`);
    return {
      name: "stalled",
      figures: {
        stalled: subscribers.length,
        events: this.#ledger.acknowledged.size,
        rss_before_mib: rssBefore / MIB,
        rss_growth_mib: growthMib,
        healthy_p50_ms: percentile(this.#latencies, 0.5),
        healthy_p99_ms: p99,
        released_after_s: this.#releasedSeconds,
        closed: subscribers.filter(({ closed }) => closed).length,
        ...eventsByProtocol(subscribers),
      },
      violations: this.#violations,
    };
  }
}

/** Most events that a stalled subscriber of each protocol was written. */
function eventsByProtocol(subscribers: readonly StalledSubscriber[]): Record<string, number> {
  return Object.fromEntries(FOLLOW_PROTOCOLS.map((protocol) => {
    const events = subscribers.filter((one) => one.protocol === protocol).map((one) => one.events);
    return [`${protocol.replace("-", "_")}_events`, Math.max(...events)];
  }));
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, {
    each: 200,
    healthy: 2,
    seconds: 120,
    rate: 500,
    "warm-up-events": 300_000,
    "warm-up-seconds": 10,
    "p99-ms": 200,
  });
  conclude(
    await runStalled({
      each: flags.each,
      healthy: flags.healthy,
      seconds: flags.seconds,
      eventsPerSecond: flags.rate,
      warmUpEvents: flags["warm-up-events"],
      warmUpSeconds: flags["warm-up-seconds"],
      mustRelease: true,
      healthyP99MaxMs: flags["p99-ms"],
    }),
  );
}
