/**
 * Subscribers of every protocol are cut and resumed again and again while events pour in. In the end each must have got
 * every event exactly once, in the order of the log.
 *
 * `deno task soak:resume --cuts 100 --rate 2000 --subscribers 2`
 */
import { streamHead } from "./api.ts";
import { FOLLOW_PROTOCOLS } from "./follow.ts";
import { Ledger } from "./ledger.ts";
import { sendPaced } from "./mixed_load.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { pause } from "./pace.ts";
import { type HubProcess, startHub } from "./process.ts";
import { difference, Subscriber } from "./subscriber.ts";
import { typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface ResumeOptions {
  /** Times each subscriber is cut. */
  readonly cuts: number;
  readonly eventsPerSecond: number;
  /** Subscribers of each protocol. */
  readonly subscribers: number;
}

/** A connection lives for a random time up to this. */
const CONNECTION_MS_MAX = 600;
/** Time to get the rest once nothing is sent any more. */
const REST_TIMEOUT_MS = 60_000;

/** Runs it; the report says for each subscriber where its sequence parts from the log. */
export async function runResume(options: ResumeOptions): Promise<Report> {
  await using hub = await startHub();
  const start = await streamHead(hub.httpUrl);
  const subscribers = FOLLOW_PROTOCOLS.flatMap((protocol) =>
    Array.from({ length: options.subscribers }, (_, number) => new Subscriber(protocol, { number, after: start }))
  );
  const ledger = new Ledger();
  const stop = new AbortController();
  let events = 0;
  const sending = sendPaced({
    hub,
    eventsPerSecond: options.eventsPerSecond,
    ledger,
    next: () => typicalEvent(++events, { prefix: "resume" }),
    signal: stop.signal,
  });
  const startedAt = performance.now();
  const violations = (await Promise.all(subscribers.map((one) => cutAgainAndAgain(one, hub, options.cuts)))).flat();
  const seconds = (performance.now() - startedAt) / 1_000;
  stop.abort();
  await sending;
  violations.push(...await compare({ hub, start, ledger, subscribers }));
  return {
    name: "resume",
    figures: {
      subscribers: subscribers.length,
      cuts_each: options.cuts,
      events: ledger.acknowledged.size,
      events_per_second: events / seconds,
      deliveries: subscribers.reduce((sum, one) => sum + one.ids.length, 0),
      seconds,
    },
    violations,
  };
}

/** Leaves the subscriber connected after the last cut. */
async function cutAgainAndAgain(subscriber: Subscriber, hub: HubProcess, cuts: number): Promise<string[]> {
  const violations: string[] = [];
  for (let count = 0; count < cuts; count++) {
    subscriber.connect(hub);
    await pause(Math.random() * CONNECTION_MS_MAX);
    const end = await subscriber.cut();
    if (end.kind !== "cut") violations.push(`${subscriber.name}: connection ${count} ended: ${JSON.stringify(end)}`);
  }
  subscriber.connect(hub);
  return violations;
}

async function compare(
  { hub, start, ledger, subscribers }: {
    hub: HubProcess;
    start: string;
    ledger: Ledger;
    subscribers: readonly Subscriber[];
  },
): Promise<string[]> {
  const violations: string[] = [];
  const log = new Subscriber("sse", { number: -1, after: start });
  log.connect(hub);
  for (const one of [log, ...subscribers]) {
    await one.whenReceived(ledger.acknowledged.size, REST_TIMEOUT_MS).catch((error) => violations.push(String(error)));
  }
  for (const one of [log, ...subscribers]) await one.cut();
  const unacknowledged = ledger.open().length;
  if (unacknowledged > 0) {
    violations.push(`${unacknowledged} events were not acknowledged by a hub that was never killed`);
  }
  if (new Set(log.ids).size !== ledger.acknowledged.size) {
    violations.push("The log does not hold what was acknowledged");
  }
  for (const one of subscribers) {
    const parted = difference(one.name, one.ids, log.ids);
    if (parted !== null) violations.push(parted);
  }
  return violations;
}

if (import.meta.main) {
  const flags = readNumbers(Deno.args, { cuts: 100, rate: 2_000, subscribers: 2 });
  conclude(await runResume({ cuts: flags.cuts, eventsPerSecond: flags.rate, subscribers: flags.subscribers }));
}
