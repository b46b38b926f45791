/** Composes the distributed profile: MongoDB holds everything, a Redis Stream hands it out. */
import { getLogger } from "@logtape/logtape";
import type { Storage } from "./app_storage.ts";
import type { Config } from "./config.ts";
import { PUBLISH_FLUSH_MS, STREAM_HEALTH_MS } from "./limits.ts";
import type { PublicationSource, SettleSource } from "./publication.ts";
import { MongodbStore } from "./storage/mongodb.ts";
import { RedisStream } from "./stream/redis.ts";
import { inboundWorker } from "./stream/redis_inbound.ts";
import { rollupWorker } from "./stream/redis_rollup.ts";
import { SweepWorker } from "./stream/redis_sweep.ts";
import { clocks, within, type WorkerHealth } from "./worker.ts";

const log = getLogger(["eventhub", "app"]);

/** Opens clients of a thread's own. Closing them publishes first what this thread stored. */
export async function openDistributed(
  config: Config,
  opening: AsyncDisposableStack,
): Promise<Omit<Storage, "connect">> {
  if (config.store.kind !== "mongodb" || config.stream === null) {
    throw new Error("Cannot open the distributed profile: it is not configured");
  }
  const { url, prefix, entriesMax } = config.stream;
  const store = opening.use(await MongodbStore.open({ url: config.store.url }));
  const stream = opening.use(await RedisStream.open({ url, prefix, entriesMax, source: store.publications }));
  opening.defer(() => flush(stream));
  const source = sourceOf(store);
  const sweep = new SweepWorker({ url, prefix, source, entriesMax });
  return {
    store,
    stream,
    settle: () => {
      // Every process has a tick; the sweep has a lease, so that they do not all count the same.
      sweep.wake();
      return Promise.resolve(0);
    },
    workers: (hub) => [
      rollupWorker({ url, prefix, source }),
      sweep,
      inboundWorker({ url, prefix, hub, deadLetters: store.deadLetters, now: clocks.now }),
    ],
    besides: async () => ({ stream: await healthOf(stream) }),
  };
}

/** What is still to be published then is found by the sweep. */
async function flush(stream: RedisStream): Promise<void> {
  try {
    await within(PUBLISH_FLUSH_MS, "Publishing the last events", stream.whenPublished());
  } catch (cause) {
    log.warn("Events are left for the sweep to publish", { cause });
  }
}

async function healthOf(stream: RedisStream): Promise<WorkerHealth> {
  try {
    await within(STREAM_HEALTH_MS, "An answer of Redis", stream.head());
    return { ok: true, detail: "Redis answers" };
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    return { ok: false, detail: `${reason}: events are stored, and live streams wait` };
  }
}

/** What the workers of the stream ask of the store. */
function sourceOf({ publications, settler }: MongodbStore): PublicationSource & SettleSource {
  return {
    now: () => publications.now(),
    watchStored: (listener) => publications.watchStored(listener),
    published: (options) => publications.published(options),
    oldest: () => publications.oldest(),
    purgedUntil: () => publications.purgedUntil(),
    republishAt: (insertions, pub) => publications.republishAt(insertions, pub),
    unpublished: (limit) => publications.unpublished(limit),
    markPublished: (insertions) => publications.markPublished(insertions),
    epochs: () => publications.epochs(),
    beginEpoch: (epoch, expected) => publications.beginEpoch(epoch, expected),
    settleThese: (insertions) => settler.settleThese(insertions),
    sweep: (options) => settler.sweep(options),
  };
}
