/**
 * Faults of Redis, again and again under load: it is emptied, killed and started empty or from an older snapshot, hangs,
 * or loses its connections. Meanwhile every event must be taken; subscribers, some there all the time and some coming
 * again afterwards, must have every event within 15 s of the return of Redis; in the end all is stored and counted once.
 *
 * `deno task soak:redis-faults --rounds 20 --rate 500 --frozen-ms 10000`
 */
import { mongoKind, openServers, type TestServers } from "../services/distributed.ts";
import { RedisServer } from "../services/redis.ts";
import { streamHead, verifyRollups } from "./api.ts";
import { Fleet } from "./fleet.ts";
import { LastingSubscriber } from "./lasting_subscriber.ts";
import { Ledger } from "./ledger.ts";
import { conclude, percentile, readNumbers, type Report } from "./options.ts";
import { pause, until } from "./pace.ts";
import { graphqlSender, ndjsonSender, restSender, type Sender, type Told } from "./send.ts";
import { grpcBatchSender, grpcSender, grpcStreamSender } from "./send_grpc.ts";
import { SteadyLoad } from "./steady_load.ts";
import type { TypicalEvent } from "./typical_event.ts";

/** What can befall Redis. */
export type RedisFault = "emptied" | "started-empty" | "started-older" | "frozen" | "cut";

/** All of it. */
export const REDIS_FAULTS: readonly RedisFault[] = ["emptied", "started-empty", "started-older", "frozen", "cut"];

/** Sizes of a run. */
export interface RedisFaultsOptions {
  /** Times each fault comes. */
  readonly rounds: number;
  readonly faults: readonly RedisFault[];
  readonly eventsPerSecond: number;
  /** How long Redis hangs. */
  readonly frozenMs: number;
  /** How long a gap may take to be filled after Redis answers again; missing = 15 s, which is what is promised. */
  readonly filledMsMax?: number;
  /** Entry module of the processes that serve HTTP. */
  readonly main?: string;
}

const BATCH_EVENTS = 50;
const FILLED_MS_MAX = 15_000;
/** The load and the subscribers run by themselves for so long before each fault. */
const CALM_MS = 500;
const HOUR_MS = 3_600_000;
/** How the hub ends, or refuses, what it cannot go on with: in the stream, by HTTP, by gRPC. */
const END_OF_HUB = /^unavailable$|answered 503|ended with 14 /;

/** Runs it; the report lists every event that was refused, lost, or delivered too late, and every cell that differs. */
export async function runRedisFaults(options: RedisFaultsOptions): Promise<Report> {
  const redis = await RedisServer.start();
  await using servers = await openServers(redis);
  await using fleet = await Fleet.start({
    roles: ["http", "http", "grpc", "rollup", "rollup"],
    env: servers.env,
    mains: { http: options.main },
  });
  return await new RedisFaultsRun({ servers, redis, fleet, options }).run();
}

interface Given {
  readonly servers: TestServers;
  readonly redis: RedisServer;
  readonly fleet: Fleet;
  readonly options: RedisFaultsOptions;
}

class RedisFaultsRun {
  readonly #given: Given;
  readonly #ledger = new Ledger();
  /** Ids in the order they were acknowledged. */
  readonly #acknowledged: string[] = [];
  readonly #violations: string[] = [];
  readonly #startedAt = Date.now();
  readonly #filledMs = new Map<RedisFault, number[]>();
  #staying: readonly LastingSubscriber[] = [];
  /** They are away while the fault falls. */
  #returning: readonly LastingSubscriber[] = [];

  constructor(given: Given) {
    this.#given = given;
  }

  async run(): Promise<Report> {
    const { rounds, faults, eventsPerSecond } = this.#given.options;
    await this.#subscribe();
    const load = new SteadyLoad({
      senders: this.#senders(),
      eventsPerSecond,
      ledger: this.#ledger,
      prefix: "load",
      onTold: (events, told) => this.#note(events, told),
    });
    for (let round = 0; round < rounds; round++) {
      for (const fault of faults) await this.#strike(fault, round);
    }
    await load.stop().catch((error) => this.#violations.push(`A wrong answer: ${error}`));
    await this.#whenFilled("at the end");
    const subscribers = [...this.#staying, ...this.#returning];
    for (const one of subscribers) {
      await one.rest();
      const silent = [...one.ends.keys()].filter((end) => !END_OF_HUB.test(end));
      if (silent.length > 0) this.#violations.push(`${one.name} was left without a word of the hub: ${silent}`);
    }
    await this.#check();
    const { fleet } = this.#given;
    this.#violations.push(...fleet.surprises, ...await fleet.stop());
    return {
      name: "redis-faults",
      figures: {
        server: mongoKind.replaceAll(" ", "_"),
        rounds_each: rounds,
        events: this.#ledger.sent.size,
        slowest_answer_ms: load.slowestMs,
        ...this.#filled(),
        resets: subscribers.reduce((sum, { resets }) => sum + resets, 0),
        repeats: subscribers.reduce((sum, { repeats }) => sum + repeats, 0),
        ends: subscribers.map(({ name, ends }) => `${name}:${JSON.stringify(Object.fromEntries(ends))}`).join(","),
        seconds: (Date.now() - this.#startedAt) / 1_000,
      },
      violations: this.#violations,
    };
  }

  /** The time from the return of Redis until the last subscriber had everything, median and longest. */
  #filled(): Record<string, string> {
    return Object.fromEntries(
      [...this.#filledMs].map(([fault, samples]) => {
        const [median, longest] = [percentile(samples, 0.5), Math.max(...samples)];
        return [`${fault}_filled_ms`, `${Math.round(median)}/${Math.round(longest)}`];
      }),
    );
  }

  async #subscribe(): Promise<void> {
    const { fleet } = this.#given;
    const [first, second] = fleet.of("http").map(({ address }) => address);
    const [grpc] = fleet.of("grpc").map(({ address }) => address);
    const after = await streamHead(first!.httpUrl);
    this.#staying = [
      new LastingSubscriber("sse", { name: "sse-staying", hub: first!, after }),
      new LastingSubscriber("grpc", { name: "grpc-staying", hub: grpc!, after }),
    ];
    this.#returning = [
      new LastingSubscriber("sse", { name: "sse-returning", hub: second!, after }),
      new LastingSubscriber("grpc", { name: "grpc-returning", hub: grpc!, after }),
    ];
    for (const one of [...this.#staying, ...this.#returning]) one.follow();
  }

  #senders(): Sender[] {
    const { fleet } = this.#given;
    const overHttp = (open: (url: string) => Sender) => fleet.of("http").map(({ address }) => open(address.httpUrl));
    const { grpcAddress } = fleet.of("grpc")[0]!.address;
    return [
      ...overHttp(restSender),
      ...overHttp(restSender),
      ...overHttp(restSender),
      ...overHttp(graphqlSender),
      ...overHttp((url) => ndjsonSender(url, BATCH_EVENTS)),
      grpcSender(grpcAddress),
      grpcBatchSender(grpcAddress, BATCH_EVENTS),
      grpcStreamSender(grpcAddress, BATCH_EVENTS),
    ];
  }

  #note(events: readonly TypicalEvent[], told: readonly Told[]): void {
    for (const [index, { id }] of events.entries()) {
      if (told[index] === "stored") this.#acknowledged.push(id);
      else if (this.#violations.length < 20) this.#violations.push(`Event ${id} was answered ${told[index]}`);
    }
  }

  /** One fault, and the time until every subscriber has what was acknowledged when Redis answered again. */
  async #strike(fault: RedisFault, round: number): Promise<void> {
    const name = `round ${round}, ${fault}`;
    const { redis } = this.#given;
    // What was saved is older than an epoch the next time.
    if (fault === "started-older" && round % 2 === 0) await redis.save();
    await pause(CALM_MS);
    for (const one of this.#returning) await one.rest();
    const before = this.#acknowledged.length;
    await until(() => this.#acknowledged.length > before + BATCH_EVENTS, { name: "the load runs", timeoutMs: 10_000 });
    await this.#befall(fault);
    for (const one of this.#returning) one.follow();
    const longest = await this.#whenFilled(name);
    this.#filledMs.set(fault, [...this.#filledMs.get(fault) ?? [], longest]);
  }

  /** Resolves when Redis answers again. */
  async #befall(fault: RedisFault): Promise<void> {
    const { redis, options } = this.#given;
    switch (fault) {
      case "emptied":
        return await redis.flushAll();
      case "started-empty":
        return await redis.restart("empty");
      case "started-older":
        return await redis.restart("saved");
      case "frozen":
        redis.freeze();
        await pause(options.frozenMs);
        return redis.thaw();
      case "cut":
        return await redis.cut();
    }
  }

  /** Waits until every subscriber has what is acknowledged now; how long it took. */
  async #whenFilled(name: string): Promise<number> {
    const { filledMsMax: timeoutMs = FILLED_MS_MAX } = this.#given.options;
    const wanted = this.#acknowledged.slice();
    const times = await Promise.all([...this.#staying, ...this.#returning].map(async (one) => {
      let seen = 0;
      const isFilled = () => {
        while (seen < wanted.length && one.ids.has(wanted[seen]!)) seen += 1;
        return seen === wanted.length;
      };
      return await until(isFilled, { name: "it has everything", timeoutMs }).catch(() => {
        const missing = wanted.filter((id) => !one.ids.has(id));
        const what = `${missing.length} events, such as ${missing[0]}`;
        this.#violations.push(`In ${name}, ${one.name} has not got ${what} after ${timeoutMs} ms`);
        return timeoutMs;
      });
    }));
    return Math.max(...times);
  }

  async #check(): Promise<void> {
    const { servers, fleet } = this.#given;
    const stored = await servers.storedIds();
    const lost = this.#acknowledged.filter((id) => !stored.has(id));
    if (lost.length > 0) this.#violations.push(`${lost.length} acknowledged events are lost: ${lost.slice(0, 3)} …`);
    await servers.settled();
    const { httpUrl } = fleet.of("http")[0]!.address;
    const report = await verifyRollups(httpUrl, this.#startedAt - 2 * HOUR_MS, Date.now() + HOUR_MS);
    if (report.differing !== 0 || report.events !== stored.size) {
      this.#violations.push(
        `A recount finds ${report.events} of ${stored.size} events, ${report.differing} cells differ`,
      );
    }
  }
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { rounds: 20, rate: 500, "frozen-ms": 10_000 });
  conclude(
    await runRedisFaults({
      rounds: flags.rounds,
      faults: REDIS_FAULTS,
      eventsPerSecond: flags.rate,
      frozenMs: flags["frozen-ms"],
    }),
  );
}
