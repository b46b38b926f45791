/** How the driver is set up, whatever the URL says, and what is asked of a server before it is used. */
import { type Db, MongoClient, MongoError, ReadConcern, ReadPreference, WriteConcern } from "mongodb";
import {
  MONGODB_CONNECTION_WAIT_MS,
  MONGODB_CONNECTIONS_MAX,
  MONGODB_SELECTION_TIMEOUT_MS,
  MONGODB_SOCKET_TIMEOUT_MS,
} from "../limits.ts";

const DATABASE_DEFAULT = "event_hub";
/** A URL with a database in it; the driver's own default is another. */
const NAMED_DATABASE = /^[a-z0-9+.-]+:\/\/[^/]+\/[^?]/i;
const VERSION_MIN = [4, 4] as const;
/** MongoDB's code of a command that it does not know. */
const COMMAND_NOT_FOUND = 59;

/**
 * What counts as stored must be on the disks of a majority, and be read from there. A URL that says otherwise is
 * overruled only where this is said of the database.
 */
const CONCERNS = {
  writeConcern: new WriteConcern("majority", undefined, true),
  readConcern: new ReadConcern("majority"),
  readPreference: ReadPreference.primary,
};

/** The database that a URL names, or the default one. */
export function databaseOf(client: MongoClient, url: string): Db {
  return client.db(NAMED_DATABASE.test(url) ? undefined : DATABASE_DEFAULT, CONCERNS);
}

/** A connection of its own that waits for an answer for as long as it takes; it is closed with what is returned. */
export async function connectPatiently(url: string): Promise<Db & AsyncDisposable> {
  const client = await createClient(url, { socketTimeoutMS: 0 }).connect();
  return Object.assign(databaseOf(client, url), { [Symbol.asyncDispose]: () => client.close() });
}

/** A client, not connected yet, whose reads and writes are those that count. */
export function createClient(url: string, { socketTimeoutMS = MONGODB_SOCKET_TIMEOUT_MS } = {}): MongoClient {
  return new MongoClient(url, {
    ...CONCERNS,
    appName: "event-hub",
    // The driver would repeat a write whose outcome is unknown and answer for the repetition.
    retryWrites: false,
    socketTimeoutMS,
    useBigInt64: true,
    ignoreUndefined: false,
    ...unlessNamed(url, {
      serverSelectionTimeoutMS: MONGODB_SELECTION_TIMEOUT_MS,
      connectTimeoutMS: MONGODB_SELECTION_TIMEOUT_MS,
      maxPoolSize: MONGODB_CONNECTIONS_MAX,
      waitQueueTimeoutMS: MONGODB_CONNECTION_WAIT_MS,
    }),
  });
}

/** Settings that a URL may have otherwise. */
function unlessNamed(url: string, settings: Record<string, number>): Record<string, number> {
  const isNamed = (name: string) => new RegExp(`[?&]${name}=`, "i").test(url);
  return Object.fromEntries(Object.entries(settings).filter(([name]) => !isNamed(name)));
}

/** The servers of a URL, without users and passwords. */
export function hostsOf(client: MongoClient): string {
  return client.options.srvHost ?? client.options.hosts.join(",");
}

/** The version of the server; rejects when it is too old. */
export async function serverVersion(database: Db): Promise<string> {
  const { version, versionArray } = await database.command({ buildInfo: 1 });
  const [major = 0, minor = 0] = Array.isArray(versionArray) ? versionArray.map(Number) : [];
  if (major < VERSION_MIN[0] || (major === VERSION_MIN[0] && minor < VERSION_MIN[1])) {
    throw new Error(`the server is MongoDB ${version}; it must be ${VERSION_MIN.join(".")} or newer`);
  }
  return String(version);
}

/** What a server says of itself. */
interface Greeting {
  /** Milliseconds; `null` when it does not tell. */
  readonly time: number | null;
  readonly hasSessions: boolean;
  /** Of its replica set, those that can become primary. */
  readonly members: readonly string[];
}

/**
 * Rejects a URL that names one member of a replica set and nobody else: when another one becomes primary, its reads would
 * come from a secondary, and a replay could skip what that has not yet got.
 */
export async function refuseDirect(client: MongoClient, database: Db): Promise<void> {
  if (!client.options.directConnection) return;
  const { members } = await greet(database);
  if (members.length < 2) return;
  throw new Error(
    `directConnection=true asks one member of a replica set alone, also when another one is primary; leave it out, and ` +
      `name them all: ${members.join(",")}`,
  );
}

/** The server's time, if it tells, whether it has sessions, and its set. `hello` is newer than some that speak the protocol. */
export async function greet(database: Db): Promise<Greeting> {
  const none = { time: null, hasSessions: false, members: [] };
  for (const command of ["hello", "isMaster"]) {
    try {
      const { localTime, logicalSessionTimeoutMinutes, hosts } = await database.command({ [command]: 1 });
      const hasSessions = typeof logicalSessionTimeoutMinutes === "number";
      const members = Array.isArray(hosts) ? hosts.map(String) : [];
      return { time: localTime instanceof Date ? localTime.getTime() : null, hasSessions, members };
    } catch (error) {
      if (!(error instanceof MongoError) || error.code !== COMMAND_NOT_FOUND) throw error;
    }
  }
  return none;
}
