/**
 * SIGTERM under mixed load with open streams. The hub must exit with 0 in time, every stream must end with a reason and
 * a cursor that goes on without a gap, and every acknowledged event must be there when the hub is started again.
 *
 * `deno task soak:shutdown --rounds 10 --subscribers 3 --load-ms 2000`
 */
import { streamHead, verifyRollups } from "./api.ts";
import { FOLLOW_PROTOCOLS } from "./follow.ts";
import { Ledger, sendUntil } from "./ledger.ts";
import { mixedSenders } from "./mixed_load.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { pause } from "./pace.ts";
import { type HubProcess, startHub } from "./process.ts";
import { restSender } from "./send.ts";
import { difference, Subscriber } from "./subscriber.ts";
import { typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface ShutdownOptions {
  readonly rounds: number;
  /** Subscribers of each protocol. */
  readonly subscribers: number;
  /** Time under load before the signal. */
  readonly loadMs: number;
}

/** The default of `EVENTHUB_SHUTDOWN_TIMEOUT`. */
const SHUTDOWN_TIMEOUT_MS = 10_000;
const HOUR_MS = 3_600_000;
/** Time for a subscriber to go on and reach the end of the log. */
const REST_TIMEOUT_MS = 30_000;

/** Runs the rounds, each on the folder of the one before. */
export async function runShutdown(options: ShutdownOptions): Promise<Report> {
  const folder = await Deno.makeTempDir({ prefix: "eventhub-shutdown-" });
  try {
    return await new ShutdownRun(folder, options).run();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

class ShutdownRun {
  readonly #folder: string;
  readonly #options: ShutdownOptions;
  readonly #ledger = new Ledger();
  readonly #violations: string[] = [];
  #events = 0;
  #slowestMs = 0;

  constructor(folder: string, options: ShutdownOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  async run(): Promise<Report> {
    for (let round = 1; round <= this.#options.rounds; round++) await this.#round(round);
    return {
      name: "shutdown",
      figures: {
        rounds: this.#options.rounds,
        sent: this.#ledger.sent.size,
        acknowledged: this.#ledger.acknowledged.size,
        slowest_exit_ms: this.#slowestMs,
      },
      violations: this.#violations,
    };
  }

  async #round(round: number): Promise<void> {
    const hub = await startHub({ folder: this.#folder });
    const start = await streamHead(hub.httpUrl);
    const subscribers = FOLLOW_PROTOCOLS.flatMap((protocol) =>
      Array.from(
        { length: this.#options.subscribers },
        (_, number) => new Subscriber(protocol, { number, after: start }),
      )
    );
    for (const one of subscribers) one.connect(hub);
    await this.#loadAndStop(hub, { round, subscribers });
    for (const one of subscribers) {
      const end = await one.ended;
      if (end.kind !== "ended") this.#note(round, `${one.name} ended with ${JSON.stringify(end)}`);
      else one.cursor = end.cursor;
    }
    await using again = await startHub({ folder: this.#folder });
    await this.#checkStored(again, round);
    await this.#checkStreams(again, { round, start, subscribers });
  }

  async #loadAndStop(
    hub: HubProcess,
    { round, subscribers }: { round: number; subscribers: readonly Subscriber[] },
  ): Promise<void> {
    const senders = mixedSenders(hub);
    const stop = new AbortController();
    const next = () => typicalEvent(++this.#events, { prefix: "shutdown" });
    const sending = sendUntil(stop.signal, { senders, ledger: this.#ledger, next })
      .catch((error) => this.#note(round, `a wrong answer: ${error}`));
    await Promise.all(subscribers.map((one) => one.whenReceived(1, REST_TIMEOUT_MS)))
      .catch((error) => this.#note(round, String(error)));
    await pause(this.#options.loadMs);
    const exit = await hub.stop();
    stop.abort();
    await sending;
    for (const sender of senders) sender.close();
    this.#slowestMs = Math.max(this.#slowestMs, exit.tookMs);
    if (exit.code !== 0 || exit.tookMs > SHUTDOWN_TIMEOUT_MS) {
      this.#note(round, `the hub ended with ${exit.code} after ${exit.tookMs} ms:\n${hub.output()}`);
    }
  }

  async #checkStored(hub: HubProcess, round: number): Promise<void> {
    const { missing, unknown } = await this.#ledger.compare(hub.httpUrl);
    if (missing.length > 0) this.#note(round, `${missing.length} acknowledged events are lost: ${missing[0]} …`);
    if (unknown.length > 0) this.#note(round, `${unknown.length} events were never sent: ${unknown[0]} …`);
    const { differing } = await verifyRollups(hub.httpUrl, Date.now() - HOUR_MS, Date.now() + HOUR_MS);
    if (differing !== 0) this.#note(round, `${differing} cells differ from a recount`);
  }

  /** What came before the end and what comes behind its cursor are together the log, each event once. */
  async #checkStreams(
    hub: HubProcess,
    { round, start, subscribers }: { round: number; start: string; subscribers: readonly Subscriber[] },
  ): Promise<void> {
    const log = new Subscriber("sse", { number: -1, after: start });
    log.connect(hub);
    for (const one of subscribers) one.connect(hub);
    const marker = typicalEvent(++this.#events, { prefix: "shutdown" });
    await this.#ledger.send(restSender(hub.httpUrl), [marker]);
    for (const one of [log, ...subscribers]) {
      await one.whenSeen(marker.id, REST_TIMEOUT_MS).catch((error) => this.#note(round, String(error)));
      await one.cut();
    }
    for (const one of subscribers) {
      const parted = difference(one.name, one.ids, log.ids);
      if (parted !== null) this.#note(round, parted);
    }
  }

  #note(round: number, violation: string): void {
    this.#violations.push(`Round ${round}: ${violation}`);
  }
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { rounds: 10, subscribers: 3, "load-ms": 2_000 });
  conclude(await runShutdown({ ...flags, loadMs: flags["load-ms"] }));
}
