/**
 * Faults on the way to MongoDB, again and again under load from REST, NDJSON and gRPC: the answer to an insert is lost, a
 * batch is cut in the middle, the server hangs. Clients send again, with the same ids, what was not answered. In the end
 * each event must be stored and counted once, none may have been called stored that was not, and none a conflict.
 *
 * `deno task soak:mongo-faults --rounds 20 --rate 300 --frozen-ms 5000`
 */
import { mongoKind, openServers, proxyBefore, type TestServers } from "../services/distributed.ts";
import type { TcpProxy } from "../services/proxy.ts";
import { verifyRollups } from "./api.ts";
import { balanced } from "./balanced.ts";
import { Fleet } from "./fleet.ts";
import { Ledger } from "./ledger.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { pause, until } from "./pace.ts";
import { ndjsonSender, restSender, type Sender, type Told } from "./send.ts";
import { grpcBatchSender, grpcSender, grpcStreamSender } from "./send_grpc.ts";
import { SteadyLoad } from "./steady_load.ts";
import { type TypicalEvent, typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface MongoFaultsOptions {
  /** Times each fault comes. */
  readonly rounds: number;
  readonly eventsPerSecond: number;
  /** How long MongoDB hangs. */
  readonly frozenMs: number;
  /** Entry module of the process that serves HTTP. */
  readonly main?: string;
}

const LOAD_BATCH_EVENTS = 50;
/** More than one insert of the store, so that a cut leaves a part of the batch stored. */
const PROBE_BATCH_EVENTS = 1_500;
/** The rounds whose probes are batches, one over each protocol. */
const BATCH_PROBES = [0, 1];
/** What is hit is in the second thousand, whose numbers are no beginnings of others. */
const PROBE_HIT_FIRST = 1_000;
/** An event takes more than this in an insert, so the cut comes within it. */
const CUT_BYTES_MAX = 200;
/** The hub gives up a request after 30 s, and its sockets too. */
const ANSWER_MS_MAX = 60_000;
/** What was answered before MongoDB hung may be read so much later. */
const ON_ITS_WAY_MS = 500;
const HOUR_MS = 3_600_000;

/** Runs it; the report lists every wrong answer, every event that is lost and every cell that differs. */
export async function runMongoFaults(options: MongoFaultsOptions): Promise<Report> {
  await using servers = await openServers();
  const way = proxyBefore(servers.env.EVENTHUB_STORE_URL!);
  await using proxy = way.proxy;
  await using fleet = await Fleet.start({
    roles: ["http", "grpc", "rollup"],
    env: { ...servers.env, EVENTHUB_STORE_URL: way.url },
    mains: { http: options.main },
  });
  return await new MongoFaultsRun({ servers, proxy, fleet, options }).run();
}

class MongoFaultsRun {
  readonly #servers: TestServers;
  readonly #proxy: TcpProxy;
  readonly #fleet: Fleet;
  readonly #options: MongoFaultsOptions;
  readonly #ledger = new Ledger();
  readonly #violations: string[] = [];
  readonly #patience = new AbortController();
  readonly #startedAt = Date.now();
  /** Told `unknown` by an answer, or by none, in the rounds; and of these, found to be stored. */
  #unknown = 0;
  #storedUnanswered = 0;
  /** When the last answer came that called something stored. */
  #storedAt = 0;

  constructor(
    given: { servers: TestServers; proxy: TcpProxy; fleet: Fleet; options: MongoFaultsOptions },
  ) {
    this.#servers = given.servers;
    this.#proxy = given.proxy;
    this.#fleet = given.fleet;
    this.#options = given.options;
  }

  async run(): Promise<Report> {
    const { rounds, eventsPerSecond } = this.#options;
    const load = new SteadyLoad({
      senders: this.#loadSenders(),
      eventsPerSecond,
      ledger: this.#ledger,
      prefix: "load",
      onTold: (events, told) => this.#note(events, told),
    });
    // A process asks whether an event is there before it inserts it only while its type is new: that is a read, which
    // may be repeated. The faults are to fall on inserts.
    for (const turn of BATCH_PROBES) {
      const { events, sender } = this.#probe("first", turn);
      this.#note(events, await this.#ledger.send(sender, events));
      sender.close();
    }
    const rest = () => pause(200 + Math.random() * 300);
    for (let round = 0; round < rounds; round++) {
      for (const fault of [() => this.#loseAnswer(round), () => this.#cutBatch(round), () => this.#freeze(round)]) {
        await fault().catch((error) => this.#violations.push(`Round ${round}: ${error}`));
        await rest();
      }
    }
    const timer = setTimeout(() => this.#patience.abort(), ANSWER_MS_MAX);
    await load.stop().catch((error) => this.#violations.push(`A wrong answer: ${error}`));
    clearTimeout(timer);
    await this.#check();
    this.#violations.push(...this.#fleet.surprises, ...await this.#fleet.stop());
    return {
      name: "mongo-faults",
      figures: {
        server: mongoKind.replaceAll(" ", "_"),
        rounds_each: rounds,
        events: this.#ledger.sent.size,
        unanswered_in_rounds: this.#unknown,
        of_these_stored: this.#storedUnanswered,
        duplicates_in_load: load.told.duplicate,
        slowest_ms: load.slowestMs,
        seconds: (Date.now() - this.#startedAt) / 1_000,
      },
      violations: this.#violations,
    };
  }

  #loadSenders(): Sender[] {
    const [http, grpc] = [this.#fleet.of("http"), this.#fleet.of("grpc")];
    const { signal } = this.#patience;
    const overHttp = (open: (url: string) => Sender) =>
      balanced({ members: http, open: ({ address }) => open(address.httpUrl), signal });
    const overGrpc = (open: (address: string) => Sender) =>
      balanced({ members: grpc, open: ({ address }) => open(address.grpcAddress), signal });
    return [
      ...Array.from({ length: 4 }, () => overHttp(restSender)),
      ...Array.from({ length: 2 }, () => overHttp((url) => ndjsonSender(url, LOAD_BATCH_EVENTS))),
      ...Array.from({ length: 2 }, () => overGrpc(grpcSender)),
      overGrpc((address) => grpcBatchSender(address, LOAD_BATCH_EVENTS)),
      overGrpc((address) => grpcStreamSender(address, LOAD_BATCH_EVENTS)),
    ];
  }

  #note(events: readonly TypicalEvent[], told: readonly Told[]): void {
    const conflict = told.indexOf("conflict");
    if (conflict >= 0) this.#violations.push(`Event ${events[conflict]!.id} was answered conflict`);
    if (told.some((word) => word === "stored" || word === "duplicate")) this.#storedAt = performance.now();
  }

  /** What a round sends for the fault to fall on: by turns an NDJSON batch, a gRPC batch, one event. */
  #probe(name: string, round: number): { events: TypicalEvent[]; hit: TypicalEvent; sender: Sender } {
    const [http, grpc] = [this.#fleet.of("http")[0]!.address, this.#fleet.of("grpc")[0]!.address];
    const senders = [
      () => ndjsonSender(http.httpUrl, PROBE_BATCH_EVENTS),
      () => grpcBatchSender(grpc.grpcAddress, PROBE_BATCH_EVENTS),
      () => restSender(http.httpUrl),
    ];
    const sender = senders[round % senders.length]!();
    const timestamp = Date.now();
    const events = Array.from(
      { length: sender.batchEvents },
      (_, index) => typicalEvent(PROBE_HIT_FIRST + index, { prefix: `${name}-${round}`, timestamp }),
    );
    return { events, sender, hit: events[Math.floor(Math.random() * events.length)]! };
  }

  /** What was asked for happened, and nobody was told: sent again, it is a duplicate. */
  async #loseAnswer(round: number): Promise<void> {
    const { events, hit, sender } = this.#probe("reply", round);
    const lost = this.#proxy.loseAnswerTo(hit.id);
    const again = await this.#sendTwice(sender, events, lost);
    const told = again.get(hit.id);
    if (told !== "duplicate") {
      this.#violations.push(`Round ${round}: the answer to ${hit.id} was lost, and then it was ${told}`);
    }
  }

  /** What was cut off did not happen: sent again, it is stored. The rest of the batch may have been stored. */
  async #cutBatch(round: number): Promise<void> {
    const { events, hit, sender } = this.#probe("cut", round);
    const cut = this.#proxy.cutWithin(hit.id, Math.floor(Math.random() * CUT_BYTES_MAX));
    const again = await this.#sendTwice(sender, events, cut);
    const told = again.get(hit.id);
    if (told !== "stored") this.#violations.push(`Round ${round}: ${hit.id} was cut off, and then it was ${told}`);
  }

  /** Sends; sends again what was not answered, and answers what that was told. */
  async #sendTwice(
    sender: Sender,
    events: readonly TypicalEvent[],
    fault: Promise<void>,
  ): Promise<ReadonlyMap<string, Told>> {
    const first = await this.#ledger.send(sender, events);
    this.#note(events, first);
    await within(fault, "the fault falls");
    const open = events.filter((_, index) => first[index] === "unknown");
    this.#unknown += open.length;
    const told = new Map(events.map(({ id }, index) => [id, first[index]!]));
    for (let rest = open; rest.length > 0;) {
      const again = await this.#ledger.send(sender, rest);
      this.#note(rest, again);
      rest.forEach(({ id }, index) => told.set(id, again[index]!));
      this.#storedUnanswered += again.filter((word) => word === "duplicate").length;
      rest = rest.filter((_, index) => again[index] === "unknown");
    }
    sender.close();
    if (open.length === 0) throw new Error(`everything of ${events[0]!.id} was answered although the fault fell on it`);
    return told;
  }

  /** Nothing is called stored while the server hangs, and everything is afterwards. */
  async #freeze(round: number): Promise<void> {
    const { frozenMs } = this.#options;
    this.#proxy.freeze();
    const frozenAt = performance.now();
    await pause(frozenMs);
    const after = this.#storedAt - frozenAt;
    this.#proxy.thaw();
    if (after > ON_ITS_WAY_MS) {
      this.#violations.push(`Round ${round}: an event was called stored when MongoDB had hung for ${after} ms`);
    }
    const thawedAt = performance.now();
    await until(() => this.#storedAt > thawedAt, { name: "events are stored again", timeoutMs: ANSWER_MS_MAX });
  }

  async #check(): Promise<void> {
    const { sent, acknowledged } = this.#ledger;
    const open = this.#ledger.open().length;
    if (open > 0) this.#violations.push(`${open} events were never answered, however often they were sent`);
    const stored = await this.#servers.storedIds();
    const lost = [...acknowledged].filter((id) => !stored.has(id));
    if (lost.length > 0) this.#violations.push(`${lost.length} acknowledged events are lost: ${lost.slice(0, 3)} …`);
    const count = stored.size;
    if (lost.length === 0 && count !== sent.size) {
      this.#violations.push(`${sent.size} events were sent, and ${count} are stored`);
    }
    await this.#servers.settled();
    const { httpUrl } = this.#fleet.of("http")[0]!.address;
    const report = await verifyRollups(httpUrl, this.#startedAt - 2 * HOUR_MS, Date.now() + HOUR_MS);
    if (report.differing !== 0 || report.events !== count) {
      this.#violations.push(`A recount finds ${report.events} of ${count} events, ${report.differing} cells differ`);
    }
  }
}

async function within(promise: Promise<void>, name: string): Promise<void> {
  let done = false;
  void promise.then(() => done = true);
  await until(() => done, { name, timeoutMs: ANSWER_MS_MAX });
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { rounds: 20, rate: 300, "frozen-ms": 5_000 });
  const options = { rounds: flags.rounds, eventsPerSecond: flags.rate, frozenMs: flags["frozen-ms"] };
  conclude(await runMongoFaults(options));
}
