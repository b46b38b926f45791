/**
 * Many clients send the same ids at once over every protocol, half of them with other content. Every id must be stored
 * once, and each answer must fit: one `stored` an id, `duplicate` for the content that won, `conflict` for the other.
 *
 * `deno task soak:duplicates --clients 64 --ids 1000`
 */
import { listAll, verifyRollups } from "./api.ts";
import type { HubAddress } from "./follow.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { startHub } from "./process.ts";
import { graphqlSender, ndjsonSender, restSender, type Sender, type Told } from "./send.ts";
import { grpcBatchSender, grpcSender, grpcStreamSender } from "./send_grpc.ts";
import { type TypicalEvent, typicalEvent } from "./typical_event.ts";

/** Sizes of a run. */
export interface DuplicatesOptions {
  readonly clients: number;
  readonly ids: number;
}

const BATCH_EVENTS = 100;
const HOUR_MS = 3_600_000;

/** What the clients were told of one id. */
interface Answers {
  readonly amount: number;
  readonly told: Told;
  readonly client: string;
}

/** Runs it; the report lists every id with a wrong answer. */
export async function runDuplicates(options: DuplicatesOptions): Promise<Report> {
  await using hub = await startHub();
  const happenedAt = Date.now() - HOUR_MS / 2;
  const answers = new Map<string, Answers[]>();
  const startedAt = performance.now();
  await Promise.all(Array.from({ length: options.clients }, async (_, client) => {
    const sender = senderOf(client, hub);
    const events = eventsOf(client, { ids: options.ids, happenedAt });
    const size = Math.min(sender.batchEvents, events.length);
    for (let start = 0; start < events.length; start += size) {
      const batch = events.slice(start, start + size);
      const told = await sender.send(batch);
      batch.forEach((event, index) => {
        const answer = { amount: event.amount, told: told[index]!, client: `${sender.protocol}#${client}` };
        answers.set(event.id, [...answers.get(event.id) ?? [], answer]);
      });
    }
    sender.close();
  }));
  const seconds = (performance.now() - startedAt) / 1_000;
  const stored = new Map<string, number>();
  const violations: string[] = [];
  for await (const event of listAll(hub.httpUrl)) {
    if (stored.has(event.id)) violations.push(`Event ${event.id} is stored twice`);
    stored.set(event.id, event.amount);
  }
  if (stored.size !== options.ids) violations.push(`${stored.size} events are stored, not ${options.ids}`);
  for (const [id, all] of answers) violations.push(...wrongAnswers(id, all, stored.get(id)));
  const report = await verifyRollups(hub.httpUrl, happenedAt - HOUR_MS, happenedAt + HOUR_MS);
  if (report.differing !== 0 || report.events !== options.ids) {
    violations.push(`A recount finds ${report.events} events and ${report.differing} cells that differ`);
  }
  return {
    name: "duplicates",
    figures: { clients: options.clients, ids: options.ids, kept: stored.size, ...tally(answers), seconds },
    violations,
  };
}

function senderOf(client: number, hub: HubAddress): Sender {
  const makers = [
    () => restSender(hub.httpUrl),
    () => grpcSender(hub.grpcAddress),
    () => ndjsonSender(hub.httpUrl, BATCH_EVENTS),
    () => graphqlSender(hub.httpUrl),
    () => grpcStreamSender(hub.grpcAddress, BATCH_EVENTS),
    () => grpcBatchSender(hub.grpcAddress, BATCH_EVENTS),
  ];
  return makers[Math.floor(client / 2) % makers.length]!();
}

/** All ids, begun at a random one, so that no protocol always comes first; odd clients send another amount. */
function eventsOf(client: number, { ids, happenedAt }: { ids: number; happenedAt: number }): TypicalEvent[] {
  const first = Math.floor(Math.random() * ids);
  return Array.from({ length: ids }, (_, offset) => {
    const index = (first + offset) % ids;
    const event = typicalEvent(index, { prefix: "same", timestamp: happenedAt + index });
    return client % 2 === 0 ? event : { ...event, amount: Math.round(event.amount * 100 + 1) / 100 };
  });
}

function wrongAnswers(id: string, answers: readonly Answers[], storedAmount: number | undefined): string[] {
  const wrong = answers.filter(({ amount, told }) =>
    amount === storedAmount ? told !== "stored" && told !== "duplicate" : told !== "conflict"
  ).map(({ told, client, amount }) => `${client} was told ${told} of ${id} with ${amount}; stored is ${storedAmount}`);
  const first = answers.filter(({ told }) => told === "stored").length;
  return first === 1 ? wrong : [...wrong, `${first} clients were told that they stored ${id}`];
}

function tally(answers: ReadonlyMap<string, readonly Answers[]>): Record<Told, number> {
  const counts: Record<Told, number> = { stored: 0, duplicate: 0, conflict: 0, unknown: 0 };
  for (const { told } of [...answers.values()].flat()) counts[told] += 1;
  return counts;
}

if (import.meta.main) conclude(await runDuplicates(readNumbers(Deno.args, { clients: 64, ids: 1_000 })));
