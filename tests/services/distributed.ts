/** MongoDB and Redis for real processes of the distributed profile, with a database and a prefix of their own. */
import { mongo, mongoLacking, mongoUrl, newDatabaseName } from "./mongo.ts";
import { TcpProxy } from "./proxy.ts";
import { openTestRedis, redisMissing, type TestRedis } from "./redis.ts";

/** The reason to skip, as a test's name tells it; empty when both are there. Throws where one is required. */
export function distributedLacking(): string {
  return [mongoLacking(), redisMissing ?? ""].filter((reason) => reason !== "").join("; ");
}

/** What it is that speaks MongoDB's protocol here. */
export const mongoKind: string = mongo.url === undefined || mongo.isReal
  ? "MongoDB"
  : "a server that speaks MongoDB's protocol";

/** Two empty servers. */
export interface TestServers extends AsyncDisposable {
  /** Settings of a hub on them. */
  readonly env: Record<string, string>;
  readonly redis: TestRedis;
  /** How many documents of a collection match. */
  count(collection: string, filter?: Record<string, unknown>): Promise<number>;
  /** The ids of all events of a tenant, as they lie in the database. */
  storedIds(tenant?: string): Promise<ReadonlySet<string>>;
  /** Resolves when every event is counted. */
  settled(): Promise<void>;
}

/** A proxy before a server of this machine, and the server's URL as it leads through the proxy. */
export function proxyBefore(url: string): { readonly proxy: TcpProxy; readonly url: string } {
  const through = new URL(url);
  const proxy = TcpProxy.to(Number(through.port || PORTS[through.protocol]));
  through.host = `127.0.0.1:${proxy.port}`;
  // A member of a replica set would name itself, and be asked there.
  if (through.protocol === "mongodb:") through.searchParams.set("directConnection", "true");
  return { proxy, url: through.href };
}

const PORTS: Readonly<Record<string, number>> = { "mongodb:": 27_017, "redis:": 6_379 };

/** Opens both, or takes this Redis, which is closed with the rest. */
export async function openServers(ownRedis?: TestRedis): Promise<TestServers> {
  const { MongoClient } = await import("mongodb");
  const redis = ownRedis ?? await openTestRedis();
  const url = mongoUrl(newDatabaseName());
  const client = new MongoClient(url);
  const count = (collection: string, filter = {}) => client.db().collection(collection).countDocuments(filter);
  return {
    env: { EVENTHUB_STORE_URL: url, EVENTHUB_STREAM_URL: redis.url, EVENTHUB_STREAM_PREFIX: redis.prefix },
    redis,
    count,
    storedIds: async (tenant = "default") => {
      const found = await client.db().collection("events").find({ tenant }, { projection: { _id: 1 } }).toArray();
      return new Set(found.map(({ _id }) => String(_id).slice(tenant.length + 1)));
    },
    settled: async () => {
      const deadline = performance.now() + SETTLED_MS;
      while (await count("events", { pend: { $exists: true } }) > 0) {
        if (performance.now() > deadline) throw new Error(`Events are not counted after ${SETTLED_MS} ms`);
        await new Promise((resolve) => setTimeout(resolve, LOOK_MS));
      }
    },
    [Symbol.asyncDispose]: async () => {
      await client.db().dropDatabase();
      await client.close();
      await redis[Symbol.asyncDispose]();
    },
  };
}

/** The sweep comes after 10 s at the latest; a busy machine takes longer. */
const SETTLED_MS = 30_000;
const LOOK_MS = 20;
