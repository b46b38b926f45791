/** The Redis stream as its suite wants it: beside a fake store, on a Redis of its own. */
import { RedisStream, type RedisStreamOptions } from "../../src/stream/redis.ts";
import { formatPosition, parsePosition } from "../../src/stream/redis_position.ts";
import { rollupWorker } from "../../src/stream/redis_rollup.ts";
import type { SupervisedWorker } from "../../src/worker.ts";
import { altered } from "../altered.ts";
import { openTestRedis } from "../services/redis.ts";
import type { StreamHarness } from "./conformance.ts";
import { FakeStore } from "./publication_fake.ts";

/** What tests shorten, so that they need not wait. */
export const QUICK = { retentionMinMs: 0, blockMs: 100 } satisfies Partial<RedisStreamOptions>;

/** The same for the workers of groups. */
export const QUICK_GROUP = { blockMs: 100, passMs: 10 } as const;

/** Runs a worker until it is disposed. */
export function running(worker: SupervisedWorker): AsyncDisposable {
  const stopping = new AbortController();
  const ended = worker.run(stopping.signal);
  return {
    [Symbol.asyncDispose]: async () => {
      stopping.abort();
      await ended;
    },
  };
}

/** An empty store and its stream, with a worker that counts. An append resolves when it is published, an erasure when the stream forgot too. */
export async function openRedis(): Promise<StreamHarness> {
  const redis = await openTestRedis();
  const source = new FakeStore();
  const stream = await RedisStream.open({ url: redis.url, prefix: redis.prefix, source, ...QUICK });
  const rollup = running(rollupWorker({ url: redis.url, prefix: redis.prefix, source, ...QUICK_GROUP }));
  const store = altered<FakeStore>(source, {
    append: async (events) => {
      const statuses = await source.append(events);
      await stream.whenPublished();
      return statuses;
    },
    erase: async (tenant, userId) => {
      const erased = await source.erase(tenant, userId);
      await stream.forget(tenant, userId);
      return erased;
    },
  });
  return {
    store,
    stream,
    another: openRedis,
    ahead: async () => {
      const place = parsePosition(await stream.head());
      if (place.phase !== "stream") throw new Error("The head is not in the stream");
      const [time, sequence] = place.id.split("-");
      return formatPosition({ ...place, id: `${time}-${Number(sequence) + 1}` });
    },
    elsewhere: (position) => {
      const place = parsePosition(position);
      return formatPosition({ ...place, epoch: { ...place.epoch, check: "0000000" } });
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([rollup, stream].map((part) => part[Symbol.asyncDispose]()));
      await source[Symbol.asyncDispose]();
      await redis[Symbol.asyncDispose]();
    },
  };
}
