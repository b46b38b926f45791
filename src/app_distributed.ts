/** Composes the distributed profile: MongoDB holds everything, a Redis Stream hands it out. */
import { getLogger } from "@logtape/logtape";
import type { Storage } from "./app_storage.ts";
import type { Config } from "./config.ts";
import { PUBLISH_FLUSH_MS, STREAM_HEALTH_MS } from "./limits.ts";
import type { PublicationSource, SettleSource } from "./publication.ts";
import { MongodbStore } from "./storage/mongodb.ts";
import { RedisStream } from "./stream/redis.ts";
import { inboundWorker } from "./stream/redis_inbound.ts";
import type { GroupWorker } from "./stream/redis_group.ts";
import { rollupWorker } from "./stream/redis_rollup.ts";
import { SweepWorker } from "./stream/redis_sweep.ts";
import type { WorkerMeasures } from "./telemetry_stream.ts";
import { clocks, reasonOf, within, type WorkerHealth } from "./worker.ts";

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
  let workers: Workers | null = null;
  return {
    store,
    stream,
    deadLetters: store.deadLetters,
    settle: () => {
      // Every process has a tick; the sweep has a lease, so that they do not all count the same.
      sweep.wake();
      return Promise.resolve(0);
    },
    workers: ({ hub, deadLetters }) => {
      const rollup = rollupWorker({ url, prefix, source });
      const ingest = inboundWorker({ url, prefix, source, hub, deadLetters, now: clocks.now });
      workers = { groups: [rollup, ingest], sweep };
      return [rollup, sweep, ingest];
    },
    besides: async () => ({ stream: await healthOf(stream), ...troublesOf(workers) }),
    measure: async () => ({
      server: await ifTold(stream.measure()),
      workers: workers === null ? null : await measuresOf(workers, source),
    }),
  };
}

/** What role `rollup` runs. */
interface Workers {
  readonly groups: readonly GroupWorker[];
  readonly sweep: SweepWorker;
}

/** The workers that run but do not get on; they try again by themselves. */
function troublesOf(workers: Workers | null): Record<string, WorkerHealth> {
  const all = workers === null ? [] : [...workers.groups, workers.sweep];
  return Object.fromEntries(
    all.flatMap(({ name, trouble }) => trouble === null ? [] : [[name, { ok: false, detail: trouble }]]),
  );
}

async function measuresOf(
  { groups, sweep }: Workers,
  source: PublicationSource & SettleSource,
): Promise<WorkerMeasures> {
  const age = source.uncountedSince().then((pub) => pub === null ? 0 : Math.max(0, source.now() - pub));
  return {
    lost: Object.fromEntries(groups.map(({ group, lost }) => [group, lost])),
    overruns: Object.fromEntries(groups.map(({ group, overruns }) => [group, overruns])),
    swept: sweep.swept,
    uncountedAgeMs: await ifTold(age),
  };
}

/** What is asked for; `null` when there is no answer in time. Why there is none is told by health. */
async function ifTold<T>(asked: Promise<T>): Promise<T | null> {
  try {
    return await within(STREAM_HEALTH_MS, "A measurement", asked);
  } catch (cause) {
    log.debug("Something could not be measured", { cause });
    return null;
  }
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
    await within(STREAM_HEALTH_MS, "An answer of Redis", stream.check());
    return { ok: true, detail: "Redis answers" };
  } catch (cause) {
    return { ok: false, detail: `${reasonOf(cause)}; events are stored, and live streams wait` };
  }
}

/** What the workers of the stream ask of the store. */
function sourceOf({ publications, settler }: MongodbStore): PublicationSource & SettleSource {
  return {
    now: () => publications.now(),
    watchStored: (listener) => publications.watchStored(listener),
    published: (options) => publications.published(options),
    firstReceived: (options) => publications.firstReceived(options),
    oldest: () => publications.oldest(),
    newest: () => publications.newest(),
    purgedUntil: () => publications.purgedUntil(),
    republishAt: (insertions, pub) => publications.republishAt(insertions, pub),
    uncountedOf: (insertions) => publications.uncountedOf(insertions),
    unpublished: (limit) => publications.unpublished(limit),
    markPublished: (insertions) => publications.markPublished(insertions),
    database: () => publications.database(),
    epochs: () => publications.epochs(),
    followEpoch: (number) => publications.followEpoch(number),
    beginEpoch: (epoch, expected) => publications.beginEpoch(epoch, expected),
    settleThese: (insertions) => settler.settleThese(insertions),
    sweep: (options) => settler.sweep(options),
    uncountedSince: () => settler.uncountedSince(),
  };
}
