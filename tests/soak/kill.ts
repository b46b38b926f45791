/**
 * Kills the hub with SIGKILL under mixed load, round after round on the same folder. After each round every
 * acknowledged event must be there, nothing twice, and every cell equal to a recount. What was not acknowledged is sent
 * again in the next round, as a client would, so that in the end the store holds exactly what was sent.
 *
 * `deno task soak:kill --rounds 200 --load-ms 700`
 */
import { isStored, verifyRollups } from "./api.ts";
import { type Comparison, Ledger, sendUntil } from "./ledger.ts";
import { mixedSenders } from "./mixed_load.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { pause } from "./pace.ts";
import { type Exit, type HubProcess, startHub } from "./process.ts";
import { ndjsonSender } from "./send.ts";
import { type TypicalEvent, typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface KillOptions {
  readonly rounds: number;
  /** Longest time under load before the kill; each round takes a random part of it. */
  readonly loadMs: number;
  /** A full listing is compared every so many rounds, and after the last. */
  readonly listEvery: number;
  /** Entry module of the hub. */
  readonly main?: string;
}

/** Events asked for one by one after each round, beside the listing of the round's users. */
const SAMPLE_EVENTS = 20;
/** Events happen up to so long before they are sent, so that a round touches many minutes. */
const LATENESS_MS = 3_600_000;
const RESEND_BATCH_EVENTS = 200;

/** Runs the rounds; the report lists every event lost and every cell that differs. */
export async function runKill(options: KillOptions): Promise<Report> {
  const folder = await Deno.makeTempDir({ prefix: "eventhub-kill-" });
  try {
    return await new KillRun(folder, options).run();
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

class KillRun {
  readonly #folder: string;
  readonly #options: KillOptions;
  readonly #ledger = new Ledger();
  readonly #violations: string[] = [];
  readonly #startedAt = Date.now();
  #events = 0;
  #resent = 0;
  #storedUnasked = 0;
  #recounted = 0;

  constructor(folder: string, options: KillOptions) {
    this.#folder = folder;
    this.#options = options;
  }

  async run(): Promise<Report> {
    const { rounds, listEvery } = this.#options;
    let hub = await this.#start();
    try {
      for (let round = 1; round <= rounds; round++) {
        await this.#load(hub, round);
        hub = await this.#start();
        await this.#check(hub, round, round % listEvery === 0 || round === rounds);
        await this.#resend(hub, round);
      }
      await this.#checkExact(hub);
      return this.#report(await hub.stop(), hub.output());
    } finally {
      await hub.kill();
    }
  }

  #report(exit: Exit, output: string): Report {
    if (exit.code !== 0) this.#violations.push(`The last hub ended with ${exit.code}:\n${output}`);
    return {
      name: "kill",
      figures: {
        rounds: this.#options.rounds,
        sent: this.#ledger.sent.size,
        acknowledged: this.#ledger.acknowledged.size,
        unanswered_but_stored: this.#storedUnasked,
        resent: this.#resent,
        recounted: this.#recounted,
        seconds: (Date.now() - this.#startedAt) / 1_000,
      },
      violations: this.#violations,
    };
  }

  #start(): Promise<HubProcess> {
    return startHub({ folder: this.#folder, main: this.#options.main });
  }

  /** Load until the kill, which falls at a random moment. */
  async #load(hub: HubProcess, round: number): Promise<void> {
    const senders = mixedSenders(hub);
    const stop = new AbortController();
    const sending = sendUntil(stop.signal, { senders, ledger: this.#ledger, next: () => this.#next(round) })
      .catch((error) => this.#violations.push(`Round ${round}: a wrong answer: ${error}`));
    await Promise.race([pause(this.#options.loadMs * (0.3 + 0.7 * Math.random())), sending]);
    const ended = await hub.kill();
    stop.abort();
    await sending;
    for (const sender of senders) sender.close();
    if (ended.signal !== "SIGKILL") this.#violations.push(`Round ${round}: the hub ended by itself:\n${hub.output()}`);
  }

  #next(round: number): TypicalEvent {
    this.#events += 1;
    const timestamp = Date.now() - Math.floor(Math.random() * LATENESS_MS);
    return typicalEvent(this.#events, { prefix: "kill", userId: `round_${round}`, timestamp });
  }

  async #check(hub: HubProcess, round: number, everything: boolean): Promise<void> {
    this.#note(round, await this.#ledger.compare(hub.httpUrl, { user_id: `round_${round}` }));
    if (everything) this.#note(round, await this.#ledger.compare(hub.httpUrl));
    const acknowledged = [...this.#ledger.acknowledged];
    for (let count = 0; count < Math.min(SAMPLE_EVENTS, acknowledged.length); count++) {
      const id = acknowledged[Math.floor(Math.random() * acknowledged.length)]!;
      if (!await isStored(hub.httpUrl, id)) this.#violations.push(`Round ${round}: acknowledged event ${id} is lost`);
    }
    await this.#verify(hub, round);
  }

  #note(round: number, found: Comparison): void {
    if (found.missing.length > 0) {
      const sample = found.missing.slice(0, 3).join(", ");
      this.#violations.push(`Round ${round}: ${found.missing.length} acknowledged events are lost: ${sample} …`);
    }
    if (found.unknown.length > 0) {
      this.#violations.push(`Round ${round}: ${found.unknown.length} events were never sent: ${found.unknown[0]} …`);
    }
  }

  async #verify(hub: HubProcess, round: number): Promise<void> {
    const report = await verifyRollups(hub.httpUrl, this.#startedAt - 2 * LATENESS_MS, Date.now() + LATENESS_MS);
    this.#recounted = report.events;
    if (report.differing !== 0) {
      this.#violations.push(`Round ${round}: ${report.differing} cells differ from a recount`);
    }
  }

  /** Sends again what was not answered. What is a duplicate now had been stored without an answer. */
  async #resend(hub: HubProcess, round: number): Promise<void> {
    const open = this.#ledger.open();
    const sender = ndjsonSender(hub.httpUrl, RESEND_BATCH_EVENTS);
    for (let start = 0; start < open.length; start += RESEND_BATCH_EVENTS) {
      const told = await this.#ledger.send(sender, open.slice(start, start + RESEND_BATCH_EVENTS));
      this.#storedUnasked += told.filter((status) => status === "duplicate").length;
      const wrong = told.filter((status) => status !== "stored" && status !== "duplicate");
      if (wrong.length > 0) this.#violations.push(`Round ${round}: a resent event was answered ${wrong[0]}`);
    }
    this.#resent += open.length;
  }

  /** Everything sent is acknowledged by now: the store must hold that and nothing else. */
  async #checkExact(hub: HubProcess): Promise<void> {
    const found = await this.#ledger.compare(hub.httpUrl);
    this.#note(this.#options.rounds, found);
    await this.#verify(hub, this.#options.rounds);
    const sent = this.#ledger.sent.size;
    if (found.stored !== sent || this.#recounted !== sent) {
      this.#violations.push(`${sent} events were sent, ${found.stored} are listed, ${this.#recounted} are counted`);
    }
  }
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { "rounds": 200, "load-ms": 700, "list-every": 20 });
  conclude(await runKill({ rounds: flags.rounds, loadMs: flags["load-ms"], listEvery: flags["list-every"] }));
}
