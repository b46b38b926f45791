/** What fault tests of the Redis stream stand on: the stream and its workers beside a fake store, and a reader. */
import { HubError } from "../../src/errors.ts";
import type { Event } from "../../src/event.ts";
import { toFields } from "../../src/stream/redis_entry.ts";
import { RedisStream, type RedisStreamOptions } from "../../src/stream/redis.ts";
import { rollupWorker } from "../../src/stream/redis_rollup.ts";
import { SweepWorker } from "../../src/stream/redis_sweep.ts";
import type { EventStream, Position, Reset } from "../../src/stream.ts";
import { ownRedisMissing, RedisServer } from "../services/redis.ts";
import { events, TENANT } from "../storage/conformance/events.ts";
import { FakeStore } from "./publication_fake.ts";
import { QUICK, QUICK_GROUP, running } from "./redis.ts";

/** Far longer than anything here takes. */
const CONDITION_MS = 20_000;
const LOOK_MS = 5;

/** Registers a test on a Redis of its own; where there is none it is skipped and says why. */
export function redisTest(name: string, run: (server: RedisServer) => Promise<void>): void {
  Deno.test({
    name: `redis: ${name}${ownRedisMissing === null ? "" : ` (${ownRedisMissing})`}`,
    ignore: ownRedisMissing !== null,
    fn: async () => {
      await using server = await RedisServer.start();
      await run(server);
    },
  });
}

/** Resolves when the condition holds; fails when it takes too long. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + CONDITION_MS;
  while (!await condition()) {
    if (performance.now() > deadline) throw new Error(`It did not come about: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
  }
}

/** A store, its stream, and the workers that count. */
export interface TestParts extends AsyncDisposable {
  readonly source: FakeStore;
  readonly stream: RedisStream;
}

/** Opens all parts; an answer of Redis may take half a second, and the sweep comes ten times a second. */
export async function openParts(
  url: string,
  options: Partial<RedisStreamOptions> & { readonly source?: FakeStore; readonly ageMs?: number } = {},
): Promise<TestParts> {
  const source = options.source ?? new FakeStore();
  const { ageMs = 300 } = options;
  const timeoutMs = 500;
  const stream = await RedisStream.open({ ...QUICK, timeoutMs, ...options, url, source });
  const workers = [
    rollupWorker({ url, source, timeoutMs, ageMs, claimIdleMs: 200, claimEveryMs: 100, ...QUICK_GROUP }),
    new SweepWorker({ ...options, url, source, timeoutMs, everyMs: 100, ageMs, janitorEveryMs: 100 }),
  ].map(running);
  return {
    source,
    stream,
    [Symbol.asyncDispose]: async () => {
      await Promise.all([...workers, stream].map((part) => part[Symbol.asyncDispose]()));
    },
  };
}

/** Follows a stream as the feed does, by cursors, whatever happens. */
export class Reader implements AsyncDisposable {
  readonly ids: string[] = [];
  readonly resets: Reset[] = [];
  readonly #stream: EventStream;
  readonly #following: Promise<void>;
  #committed = Promise.withResolvers<void>();
  #closed = false;

  constructor(stream: EventStream, cursor: string) {
    this.#stream = stream;
    this.#following = this.#follow(cursor);
  }

  /** Resolves when every one of these was seen. */
  async whenSeen(all: readonly Event[]): Promise<void> {
    await until(`${all.length} events are read`, () => {
      const seen = new Set(this.ids);
      return all.every(({ id }) => seen.has(id));
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#committed.resolve();
    await this.#following;
  }

  async #follow(first: string): Promise<void> {
    const unwatch = this.#stream.watch(() => this.#committed.resolve());
    let cursor = first;
    while (!this.#closed) {
      try {
        const { position, reset } = await this.#stream.open(TENANT, { cursor });
        if (reset !== null) this.resets.push(reset);
        await this.#walk(position, (next) => cursor = next);
      } catch (error) {
        // A reader that is cut off comes again with its cursor.
        if (!(error instanceof HubError && error.code === "unavailable")) throw error;
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    }
    unwatch();
  }

  async #walk(from: Position, moved: (cursor: string) => void): Promise<void> {
    for (let after = from; !this.#closed;) {
      this.#committed = Promise.withResolvers();
      const page = await this.#stream.read({ after, limit: 50, tenant: TENANT });
      if (page.reset !== undefined) this.resets.push(page.reset);
      for (const { event } of page.entries) this.ids.push(event.id);
      after = page.position;
      moved(this.#stream.cursor(TENANT, after));
      if (page.caughtUp && !this.#closed) await this.#committed.promise;
    }
  }
}

/** Stores events one batch after the other until it is stopped; gives everything it stored. */
export function produce(source: FakeStore): { stop(): Promise<Event[]> } {
  const all: Event[] = [];
  let stopped = false;
  const working = (async () => {
    while (!stopped) {
      const batch = events(7);
      await source.append(batch);
      all.push(...batch);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    return all;
  })();
  return {
    stop: () => {
      stopped = true;
      return working;
    },
  };
}

/** The same store, of which this process stores nothing itself. */
export function silent(source: FakeStore): FakeStore {
  return new Proxy(source, {
    get: (target, name) => {
      if (name === "watchStored") return () => () => {};
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

/** Records an epoch that began long ago, as if this Redis had been followed since. */
export async function ageEpoch(
  server: RedisServer,
  source: FakeStore,
  { startedAt = 0, lostUntil = startedAt }: { startedAt?: number; lostUntil?: number } = {},
): Promise<void> {
  const marker = "0123456789abcdef";
  const [, runId = ""] = /run_id:(\w+)/.exec(String(await server.send("INFO", "server"))) ?? [];
  await server.send("SET", "events:epoch", marker);
  await server.send("HSET", "events:floor", "marker", marker);
  await source.beginEpoch({ number: 1, startedAt, lostUntil, followedAt: startedAt, runId, marker }, 0);
}

/**
 * Events that were stored and published at times of the past, one each `everyMs`; `isLost`: the stream has them no more.
 * The last entry of the stream must be older.
 */
export async function storeInThePast(
  server: RedisServer,
  source: FakeStore,
  { from, to, everyMs, isLost = false }: { from: number; to: number; everyMs: number; isLost?: boolean },
): Promise<Event[]> {
  const all: Event[] = [];
  for (let time = from; time < to; time += everyMs) {
    const [one] = events(1, () => ({ receivedAt: time })) as [Event];
    source.at = time;
    await source.append([one]);
    source.at = null;
    all.push(one);
    const stored = source.documents.get(`${one.tenant}:${one.id}`)!;
    if (!isLost) await server.send("XADD", "events", `${stored.pub}-0`, ...toFields(stored));
  }
  return all;
}

/** Resolves when everything stored is counted, each insertion once, and nothing waits to be published. */
export async function whenCounted(source: FakeStore): Promise<void> {
  await until("everything is counted", () => {
    return [...source.documents.values()].every(({ pending, unpub }) => !pending && !unpub);
  });
  const wrong = [...source.documents.values()].filter(({ counted }) => counted !== 1);
  if (wrong.length > 0) throw new Error(`${wrong.length} insertions were not counted once`);
}
