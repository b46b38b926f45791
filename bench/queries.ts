/** Questions to a hub that holds a million events, whose timestamps are spread over a day. */
import { getJson } from "../tests/soak/api.ts";
import { percentile } from "../tests/soak/options.ts";
import { type HubProcess, startHub } from "../tests/soak/process.ts";
import { ndjsonSender } from "../tests/soak/send.ts";
import { type TypicalEvent, typicalEvent } from "../tests/soak/typical_event.ts";

/** Latency of one question. */
export interface QueryFigures {
  readonly name: string;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

/** What {@link measureQueries} found. */
export interface StoredFigures {
  readonly events: number;
  readonly fillSeconds: number;
  readonly rssMib: number;
  readonly queries: readonly QueryFigures[];
}

const DAY_MS = 86_400_000;
const BATCH_EVENTS = 10_000;
/** One event in so many is of one of the rare users. */
const RARE_EVERY = 5_000;
const RARE_USERS = 10;
const MIB = 2 ** 20;
/** Questions asked before those that are measured. */
const WARM_UP_QUESTIONS = 20;

/** Fills a fresh hub and asks it. */
export async function measureQueries(options: { events: number; questions: number }): Promise<StoredFigures> {
  await using hub = await startHub();
  const now = Date.now();
  const startedAt = performance.now();
  await fill(hub, { events: options.events, now });
  const fillSeconds = (performance.now() - startedAt) / 1_000;
  const rssMib = hub.rss() / MIB;
  const queries: QueryFigures[] = [];
  for (const [name, ask] of questions(hub, now)) {
    for (let count = 0; count < WARM_UP_QUESTIONS; count++) await ask(count);
    queries.push(await measure(name, { ask, questions: options.questions }));
  }
  const [name, ask] = questions(hub, now).find(([name]) => name.startsWith("aggregates day by minutes"))!;
  queries.push(await measureBeside(hub, { name: `livez during ${name}`, ask, questions: options.questions }));
  return { events: await countStored(hub, now), fillSeconds, rssMib, queries };
}

async function fill(hub: HubProcess, { events, now }: { events: number; now: number }): Promise<void> {
  const sender = ndjsonSender(hub.httpUrl, BATCH_EVENTS);
  for (let first = 0; first < events; first += BATCH_EVENTS) {
    const size = Math.min(BATCH_EVENTS, events - first);
    await sender.send(Array.from({ length: size }, (_, index) => storedEvent(first + index, now)));
  }
}

function storedEvent(index: number, now: number): TypicalEvent {
  const userId = index % RARE_EVERY === 0 ? `rare_${index / RARE_EVERY % RARE_USERS}` : undefined;
  return typicalEvent(index, { prefix: "stored", userId, timestamp: now - Math.floor(Math.random() * DAY_MS) });
}

type Ask = (turn: number) => Promise<unknown>;

/** Each question and how to ask it. */
function questions(hub: HubProcess, now: number): [string, Ask][] {
  const day = `from=${new Date(now - DAY_MS).toISOString()}&to=${new Date(now).toISOString()}`;
  const get = (path: string) => getJson<unknown>(`${hub.httpUrl}${path}`);
  return [
    ["aggregatedMetrics(60)", () => metrics(hub)],
    ["aggregates day by hours", () => get(`/aggregates?${day}&window=1h`)],
    ["aggregates day by minutes, percentiles", () => get(`/aggregates?${day}&window=1m&percentiles=true`)],
    ["events of a rare user", (turn) => get(`/events?user_id=rare_${turn % RARE_USERS}`)],
  ];
}

async function metrics(hub: HubProcess): Promise<void> {
  const query = "{ aggregatedMetrics(minutes: 60) { totalAmount eventCount timeWindow } }";
  const response = await fetch(`${hub.httpUrl}/graphql`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query }),
  });
  const { data, errors } = await response.json();
  if (errors !== undefined || !(data.aggregatedMetrics.eventCount > 0)) {
    throw new Error(JSON.stringify({ data, errors }));
  }
}

async function measure(name: string, { ask, questions }: { ask: Ask; questions: number }): Promise<QueryFigures> {
  const latencies: number[] = [];
  for (let turn = 0; turn < questions; turn++) {
    const startedAt = performance.now();
    await ask(turn);
    latencies.push(performance.now() - startedAt);
  }
  return { name, p50Ms: percentile(latencies, 0.5), p99Ms: percentile(latencies, 0.99) };
}

/** `/livez` while a question is asked again and again: small only when the work is not done on the thread of HTTP. */
async function measureBeside(
  hub: HubProcess,
  { name, ask, questions }: { name: string; ask: Ask; questions: number },
): Promise<QueryFigures> {
  let asking = true;
  const busy = (async () => {
    for (let turn = 0; asking; turn++) await ask(turn);
  })();
  const livez: Ask = async () => void await (await fetch(`${hub.httpUrl}/livez`)).text();
  const figures = await measure(name, { ask: livez, questions });
  asking = false;
  await busy;
  return figures;
}

async function countStored(hub: HubProcess, now: number): Promise<number> {
  const range = `from=${new Date(now - 2 * DAY_MS).toISOString()}&to=${new Date(now + DAY_MS).toISOString()}`;
  const { rows } = await getJson<{ rows: { count: number }[] }>(`${hub.httpUrl}/aggregates?${range}&window=1d`);
  return rows.reduce((sum, row) => sum + row.count, 0);
}
