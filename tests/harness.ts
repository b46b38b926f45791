/** What tests of the hub and its transports stand on: a hub over the memory drivers, with a clock that tests set. */
import { Hub, type HubOptions } from "../src/hub.ts";
import type { EventStore } from "../src/storage.ts";
import { MemoryStore } from "../src/storage/memory.ts";
import type { EventStream } from "../src/stream.ts";
import { MemoryStream } from "../src/stream/memory.ts";
import type { Config } from "../src/config.ts";

export { startHub } from "./soak/process.ts";

/** 2025-07-15T12:34:56.789Z: where the clock of a test hub stands at first. */
export const START = Date.UTC(2025, 6, 15, 12, 34, 56, 789);

/** A clock that moves only when it is told to. */
export class TestClock {
  #now = START;
  #elapsed = 0;

  /** The time, milliseconds. */
  readonly now = (): number => this.#now;

  /** The time that has passed, milliseconds; nobody can set it. */
  readonly elapsed = (): number => this.#elapsed;

  /** Lets time pass. */
  advance(milliseconds: number): void {
    this.#now += milliseconds;
    this.#elapsed += milliseconds;
  }

  /** Sets the time of day, as an operator or a time server does, without any passing. */
  set(now: number): void {
    this.#now = now;
  }
}

/** A hub on its own memory drivers. */
export interface TestHub extends AsyncDisposable {
  readonly hub: Hub;
  readonly store: EventStore;
  readonly stream: EventStream;
  readonly clock: TestClock;
}

/** What a test hub may have instead of the usual: settings of the hub, and a wrapper around its store. */
export type TestHubOptions = Partial<Omit<HubOptions, "store" | "stream" | "now" | "elapsed">> & {
  readonly wrapStore?: (store: EventStore) => EventStore;
  readonly wrapStream?: (stream: EventStream) => EventStream;
};

/** Opens a hub over the memory drivers. */
export function openTestHub(options: TestHubOptions = {}): TestHub {
  const clock = new TestClock();
  const { wrapStore = (store) => store, wrapStream = (stream) => stream, ...settings } = options;
  const memory = new MemoryStore();
  const store = wrapStore(memory);
  const stream = wrapStream(new MemoryStream(memory));
  const hub = new Hub({
    naiveZone: "UTC",
    maxFutureMs: 24 * 3_600_000,
    retentionMs: null,
    requestTimeoutMs: 30_000,
    ...settings,
    store,
    stream,
    now: clock.now,
    elapsed: clock.elapsed,
  });
  return {
    hub,
    store,
    stream,
    clock,
    [Symbol.asyncDispose]: async () => {
      await hub.close();
      await stream[Symbol.asyncDispose]();
      await store[Symbol.asyncDispose]();
    },
  };
}

/** A configuration for transports under test: everything at its default, free ports, nothing logged. */
export function testConfig(overrides: Partial<Config> = {}): Config {
  return {
    host: "127.0.0.1",
    httpPort: 0,
    grpcPort: 0,
    store: { kind: "memory" },
    stream: null,
    roles: ["http", "grpc", "rollup"],
    retentionMs: null,
    maxFutureMs: 24 * 3_600_000,
    naiveZone: "UTC",
    requestTimeoutMs: 30_000,
    shutdownTimeoutMs: 10_000,
    corsOrigins: [],
    metrics: "on",
    introspection: "on",
    reflection: "on",
    graphiql: "on",
    logLevel: "error",
    logFormat: "json",
    ...overrides,
  };
}
