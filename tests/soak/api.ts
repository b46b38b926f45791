/** The REST calls with which a soak run looks at what a hub has stored. */

/** An event as `GET /events` shows it, as far as the checks need it. */
export interface ListedEvent {
  readonly id: string;
  readonly user_id: string;
  readonly event_type: string;
  readonly amount: number;
  readonly timestamp: string;
}

/** What `POST /admin/rollups/verify` answers, as far as the checks need it. */
export interface VerifyReport {
  readonly events: number;
  readonly cells: number;
  readonly differing: number;
}

/** Largest page of `GET /events`. */
const PAGE_EVENTS = 1_000;

/** GET that must answer 200 with JSON. */
export async function getJson<T>(url: string): Promise<T> {
  return await readJson<T>(await fetch(url), `GET ${url}`);
}

/** The body of a response that must be 200; anything else is thrown with its text. */
export async function readJson<T>(response: Response, what: string): Promise<T> {
  const text = await response.text();
  if (response.status !== 200) throw new Error(`${what} answered ${response.status}: ${text.slice(0, 1_000)}`);
  return JSON.parse(text);
}

/** Whether an event is there, by its id. */
export async function isStored(httpUrl: string, id: string): Promise<boolean> {
  const response = await fetch(`${httpUrl}/events/${encodeURIComponent(id)}`);
  const text = await response.text();
  if (response.status === 200) return true;
  if (response.status === 404) return false;
  throw new Error(`GET /events/${id} answered ${response.status}: ${text.slice(0, 1_000)}`);
}

/** Every event that matches the query parameters, page by page. */
export async function* listAll(
  httpUrl: string,
  parameters: Record<string, string> = {},
): AsyncGenerator<ListedEvent> {
  let cursor: string | null = null;
  do {
    const query = new URLSearchParams({ limit: String(PAGE_EVENTS), ...parameters });
    if (cursor !== null) query.set("cursor", cursor);
    const page: { events: ListedEvent[]; next_cursor: string | null } = await getJson(`${httpUrl}/events?${query}`);
    yield* page.events;
    cursor = page.next_cursor;
  } while (cursor !== null);
}

/** The ids of {@link listAll}; an id that is listed twice is thrown. */
export async function listIds(httpUrl: string, parameters: Record<string, string> = {}): Promise<Set<string>> {
  const ids = new Set<string>();
  for await (const event of listAll(httpUrl, parameters)) {
    if (ids.has(event.id)) throw new Error(`Event ${event.id} is listed twice`);
    ids.add(event.id);
  }
  return ids;
}

/** Recounts the cells of a range (milliseconds). */
export async function verifyRollups(httpUrl: string, from: number, to: number): Promise<VerifyReport> {
  const range = { from: new Date(from).toISOString(), to: new Date(to).toISOString() };
  const response = await fetch(`${httpUrl}/admin/rollups/verify`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(range),
  });
  return await readJson(response, "POST /admin/rollups/verify");
}

/** The live position of now. */
export async function streamHead(httpUrl: string): Promise<string> {
  const response = await fetch(`${httpUrl}/events?limit=1`);
  await response.text();
  const cursor = response.headers.get("x-stream-cursor");
  if (cursor === null) throw new Error("GET /events answered without X-Stream-Cursor");
  return cursor;
}

/** The sum of all samples of a metric; 0 when there is none. */
export async function metricSum(httpUrl: string, name: string): Promise<number> {
  const text = await (await fetch(`${httpUrl}/metrics`)).text();
  let sum = 0;
  for (const line of text.split("\n")) {
    if (line.startsWith(name) && /^[ {]/.test(line.slice(name.length))) sum += Number(line.split(" ").at(-1));
  }
  return sum;
}
