/**
 * Entries pour into the inbound Redis Stream, one in a hundred of them bad, while the process that takes them is killed
 * again and again. Every good one must be stored once, every bad one be a dead letter with its reason, and the stream be
 * empty. Then every dead letter is redriven with a corrected event: it must be stored once, and no letter be left.
 *
 * `deno task soak:inbound --entries 100000 --kills 20`
 */
import { mongoKind, openServers, type TestServers } from "../services/distributed.ts";
import { getJson, readJson, verifyRollups } from "./api.ts";
import { Fleet, type Member } from "./fleet.ts";
import { type InboundEntry, inboundEntry, knownEvents } from "./inbound_entries.ts";
import { conclude, readNumbers, type Report } from "./options.ts";
import { pause, until } from "./pace.ts";
import { ndjsonSender } from "./send.ts";

/** Sizes of a run. */
export interface InboundOptions {
  readonly entries: number;
  /** Times the process that takes entries is killed. */
  readonly kills: number;
  /** Entry module of that process. */
  readonly main?: string;
}

const KNOWN_EVENTS = 50;
/** Commands sent to Redis at once. */
const ADDED_AT_ONCE = 500;
/** A kill falls within this time, during which entries come in. */
const LIFE_MS_MAX = 1_200;
/** What a killed process had been given is taken over after 15 s. */
const DRAINED_MS_MAX = 120_000;
const REDRIVES_AT_ONCE = 8;
const PAGE_LETTERS = 1_000;
const HOUR_MS = 3_600_000;

/** A dead letter as the contract writes it, as far as the checks need it. */
interface Letter {
  readonly id: string;
  readonly code: string;
  readonly detail: string;
}

/** Runs it; the report lists what is missing, what is too much, and each letter with another reason than it should have. */
export async function runInbound(options: InboundOptions): Promise<Report> {
  await using servers = await openServers();
  await using fleet = await Fleet.start({
    roles: ["http", "rollup"],
    env: servers.env,
    mains: { rollup: options.main },
  });
  return await new InboundRun(servers, fleet, options).run();
}

class InboundRun {
  readonly #servers: TestServers;
  readonly #fleet: Fleet;
  readonly #options: InboundOptions;
  readonly #httpUrl: string;
  readonly #stream: string;
  readonly #known = knownEvents(KNOWN_EVENTS);
  /** Entries by the id Redis gave them. */
  readonly #entries = new Map<string, InboundEntry>();
  readonly #violations: string[] = [];
  readonly #startedAt = Date.now();
  #added = 0;
  #killsAtWork = 0;

  constructor(servers: TestServers, fleet: Fleet, options: InboundOptions) {
    this.#servers = servers;
    this.#fleet = fleet;
    this.#options = options;
    this.#httpUrl = fleet.of("http")[0]!.address.httpUrl;
    this.#stream = `${servers.redis.prefix}:in`;
  }

  async run(): Promise<Report> {
    const { entries, kills } = this.#options;
    const sender = ndjsonSender(this.#httpUrl, KNOWN_EVENTS);
    await sender.send(this.#known);
    const taker = this.#fleet.of("rollup")[0]!;
    for (let life = 0; life < kills; life++) {
      await Promise.all([this.#addUntil(Math.ceil(entries * (life + 1) / (kills + 1))), this.#kill(taker)]);
      await taker.start();
    }
    await this.#addUntil(entries);
    const takenMs = await until(() => this.#isEmpty(), { name: "the stream is empty", timeoutMs: DRAINED_MS_MAX });
    const letters = await this.#check();
    await this.#redriveAll(letters);
    this.#violations.push(...this.#fleet.surprises, ...await this.#fleet.stop());
    return {
      name: "inbound",
      figures: {
        server: mongoKind.replaceAll(" ", "_"),
        entries,
        kills,
        kills_at_work: this.#killsAtWork,
        dead_letters: letters.length,
        emptied_after_the_last_ms: takenMs,
        seconds: (Date.now() - this.#startedAt) / 1_000,
      },
      violations: this.#violations,
    };
  }

  async #addUntil(count: number): Promise<void> {
    while (this.#added < count) {
      const size = Math.min(ADDED_AT_ONCE, count - this.#added);
      const entries = Array.from({ length: size }, (_, i) => inboundEntry(this.#added + i, this.#known));
      const ids = await Promise.all(entries.map(({ fields }) => this.#redis("XADD", this.#stream, "*", ...fields)));
      entries.forEach((entry, i) => this.#entries.set(String(ids[i]), entry));
      this.#added += size;
    }
  }

  async #kill(taker: Member): Promise<void> {
    await pause(Math.random() * LIFE_MS_MAX);
    await taker.kill();
    if (!await this.#isEmpty()) this.#killsAtWork += 1;
  }

  async #isEmpty(): Promise<boolean> {
    return await this.#redis("XLEN", this.#stream) === 0;
  }

  #redis(command: string, ...args: string[]) {
    return this.#servers.redis.send(command, ...args);
  }

  /** What became of the entries; the letters. */
  async #check(): Promise<readonly Letter[]> {
    const [pending] = await this.#redis("XPENDING", this.#stream, "ingest") as readonly number[];
    if (pending !== 0) this.#violations.push(`${pending} entries are still pending in an empty stream`);
    const marker = await this.#redis("GET", `${this.#stream}:epoch`);
    const letters = await this.#letters();
    const codes = new Map(letters.map(({ id, code }) => [id, code]));
    const isTold = letters.every(({ detail }) => detail !== "");
    if (!isTold) this.#violations.push("A dead letter has no reason");
    const wanted = new Set(this.#known.map(({ id }) => id));
    let wrong = 0;
    for (const [entryId, { id, code }] of this.#entries) {
      const name = `in:${marker}:${entryId}`;
      if (code === null) wanted.add(id ?? name);
      if ((codes.get(name) ?? null) === code) continue;
      if (wrong++ === 0) this.#violations.push(`Entry ${entryId} is a letter ${codes.get(name)}, not ${code}`);
    }
    if (wrong > 1) this.#violations.push(`So are ${wrong - 1} others`);
    if (codes.size !== letters.length) this.#violations.push("A dead letter is listed twice");
    await this.#compare(wanted);
    return letters;
  }

  /** All that is stored must be what was wanted, and be counted once. */
  async #compare(wanted: ReadonlySet<string>): Promise<void> {
    const stored = await this.#servers.storedIds();
    const missing = [...wanted].filter((id) => !stored.has(id));
    const others = [...stored].filter((id) => !wanted.has(id));
    if (missing.length > 0) this.#violations.push(`${missing.length} events are lost: ${missing.slice(0, 3)} …`);
    if (others.length > 0) this.#violations.push(`${others.length} events are too many: ${others.slice(0, 3)} …`);
    await this.#servers.settled();
    const report = await verifyRollups(this.#httpUrl, this.#startedAt - HOUR_MS, Date.now() + HOUR_MS);
    if (report.differing !== 0 || report.events !== stored.size) {
      this.#violations.push(
        `A recount finds ${report.events} of ${stored.size} events, ${report.differing} cells differ`,
      );
    }
  }

  async #letters(): Promise<readonly Letter[]> {
    const letters: Letter[] = [];
    for (let cursor: string | null = ""; cursor !== null;) {
      const query = new URLSearchParams({ limit: String(PAGE_LETTERS), ...(cursor !== "" && { cursor }) });
      const page: { dead_letters: Letter[]; next_cursor: string | null } = await getJson(
        `${this.#httpUrl}/dead-letters?${query}`,
      );
      letters.push(...page.dead_letters);
      cursor = page.next_cursor;
    }
    return letters;
  }

  async #redriveAll(letters: readonly Letter[]): Promise<void> {
    const before = await this.#servers.storedIds();
    const wanted = new Set(before);
    const waiting = [...letters];
    await Promise.all(Array.from({ length: REDRIVES_AT_ONCE }, async () => {
      for (let letter = waiting.pop(); letter !== undefined; letter = waiting.pop()) {
        const told = await this.#redrive(letter);
        const { id } = this.#entries.get(letter.id.split(":").at(-1)!)!;
        wanted.add(id ?? letter.id);
        if (told.id !== (id ?? letter.id) || told.duplicate !== before.has(told.id)) {
          this.#violations.push(`Letter ${letter.id} was redriven as ${told.id}, duplicate: ${told.duplicate}`);
        }
      }
    }));
    const left = await this.#letters();
    if (left.length > 0) this.#violations.push(`${left.length} letters are left after all were redriven`);
    await this.#compare(wanted);
  }

  async #redrive({ id }: Letter): Promise<{ readonly id: string; readonly duplicate: boolean }> {
    const { corrected } = this.#entries.get(id.split(":").at(-1)!)!;
    const path = `/dead-letters/${encodeURIComponent(id)}/redrive`;
    const response = await fetch(this.#httpUrl + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(corrected),
    });
    return await readJson(response, `POST ${path}`);
  }
}

if (import.meta.main) conclude(await runInbound(readNumbers(Deno.args, { entries: 100_000, kills: 20 })));
