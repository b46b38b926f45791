/** Configuration from the environment, and nowhere else. Every problem is reported at once. */
import type { z } from "zod";
import {
  DAY,
  duration,
  formatDuration,
  isLoopback,
  MINUTE,
  oneOf,
  readAuth,
  readEntriesMax,
  readExposure,
  readHost,
  readOrigins,
  readPort,
  readPrefix,
  readRateLimit,
  readRetention,
  readRoles,
  readStore,
  readStream,
  readZone,
  ROLES,
  text,
} from "./config_values.ts";
import { STREAM_ENTRIES_DEFAULT } from "./limits.ts";
import { closestName } from "./spelling.ts";

/** Parts of the hub a process runs. */
export type Role = "http" | "grpc" | "rollup";

/** What strangers may look at. `admin` needs credentials and so is refused while `EVENTHUB_AUTH` is `off`. */
export type Exposure = "on" | "off" | "admin";

/** The effective configuration; plain data, so that it can be handed to a Worker. Durations in milliseconds. */
export interface Config {
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly store:
    | { readonly kind: "sqlite"; readonly path: string }
    | { readonly kind: "memory" }
    | { readonly kind: "mongodb"; readonly url: string };
  /** The stream beside the store; `null` = the store's own log. */
  readonly stream: {
    readonly kind: "redis";
    readonly url: string;
    readonly prefix: string;
    readonly entriesMax: number;
  } | null;
  readonly roles: readonly Role[];
  readonly retentionMs: number | null;
  readonly maxFutureMs: number;
  readonly naiveZone: string;
  readonly requestTimeoutMs: number;
  readonly shutdownTimeoutMs: number;
  readonly corsOrigins: readonly string[];
  readonly metrics: Exposure;
  readonly introspection: Exposure;
  readonly reflection: Exposure;
  readonly graphiql: Exposure;
  readonly logLevel: "debug" | "info" | "warning" | "error";
  readonly logFormat: "pretty" | "json";
}

/** One setting that is wrong: its name and what was expected. */
export interface ConfigProblem {
  readonly name: string;
  readonly detail: string;
}

/** Thrown by {@link loadConfig}; its message lists every problem, a line each. */
export class ConfigError extends Error {
  override readonly name = "ConfigError";
  readonly problems: readonly ConfigProblem[];

  constructor(problems: readonly ConfigProblem[]) {
    const lines = problems.map((problem) => `  ${problem.name}: ${problem.detail}`);
    super(`Cannot start: ${problems.length} setting(s) are wrong\n${lines.join("\n")}`);
    this.problems = problems;
  }
}

/** Every setting that works today: how its text is read, and what it is when nothing is set. */
const SETTINGS = {
  EVENTHUB_HOST: text(readHost).default("127.0.0.1"),
  PORT: text(readPort).default(8000),
  EVENTHUB_HTTP_PORT: text(readPort).default(8000),
  EVENTHUB_GRPC_PORT: text(readPort).default(50051),
  EVENTHUB_STORE_URL: text(readStore).default({ kind: "sqlite", path: "./data/eventhub.db" }),
  EVENTHUB_STREAM_URL: text(readStream).default(null),
  EVENTHUB_STREAM_PREFIX: text(readPrefix).default("events"),
  EVENTHUB_STREAM_MAXLEN: text(readEntriesMax).default(STREAM_ENTRIES_DEFAULT),
  EVENTHUB_ROLES: text(readRoles).default([...ROLES]),
  EVENTHUB_AUTH: text(readAuth).default("off"),
  EVENTHUB_ALLOW_PUBLIC: oneOf("true", "false").default("false"),
  EVENTHUB_RATE_LIMIT: text(readRateLimit).default("off"),
  EVENTHUB_RETENTION: text(readRetention).default(null),
  EVENTHUB_MAX_FUTURE: duration(0, 366 * DAY).default(DAY),
  EVENTHUB_NAIVE_ZONE: text(readZone).default("UTC"),
  EVENTHUB_REQUEST_TIMEOUT: duration(100, 60 * MINUTE).default(30_000),
  EVENTHUB_SHUTDOWN_TIMEOUT: duration(100, 60 * MINUTE).default(10_000),
  EVENTHUB_CORS_ORIGINS: text(readOrigins).default([]),
  EVENTHUB_METRICS: text(readExposure).default("on"),
  EVENTHUB_INTROSPECTION: text(readExposure).default("on"),
  EVENTHUB_REFLECTION: text(readExposure).default("on"),
  EVENTHUB_GRAPHIQL: text(readExposure).default("on"),
  EVENTHUB_LOG_LEVEL: oneOf("debug", "info", "warning", "error").default("info"),
  EVENTHUB_LOG_FORMAT: oneOf("pretty", "json").optional(),
};

const KAFKA = "Kafka is not supported yet";
const KEYS = "API keys are not supported yet";
const JWT = "JSON Web Tokens are not supported yet";
const TLS = "TLS for gRPC is not supported yet; put a proxy that ends TLS in front";

/** Settings whose feature is not there yet: a hub that ignored one would not do what its operator believes. */
const NOT_YET: Readonly<Record<string, string>> = {
  EVENTHUB_API_KEYS_FILE: KEYS,
  EVENTHUB_JWT_ISSUER: JWT,
  EVENTHUB_JWT_AUDIENCE: JWT,
  EVENTHUB_JWT_JWKS: JWT,
  EVENTHUB_TRUSTED_PROXIES:
    "the address a proxy forwards is not used yet, since nothing is limited or refused by address",
  EVENTHUB_KAFKA_USER: KAFKA,
  EVENTHUB_KAFKA_PASSWORD: KAFKA,
  EVENTHUB_KAFKA_SASL: KAFKA,
  EVENTHUB_KAFKA_TLS: KAFKA,
  EVENTHUB_KAFKA_CA: KAFKA,
  EVENTHUB_GRPC_TLS_CERT: TLS,
  EVENTHUB_GRPC_TLS_KEY: TLS,
  EVENTHUB_GRPC_TLS_CLIENT_CA: TLS,
};

const PREFIX = "EVENTHUB_";
/** What only the command line reads: a hub may be started in the same environment. */
const COMMAND_LINE: ReadonlySet<string> = new Set(["EVENTHUB_PROTOTYPE_URL"]);
const TEST_PREFIX = "EVENTHUB_TEST_";

/**
 * Reads the environment; an empty value is the same as none. `isTerminal` chooses the default log format. Throws
 * {@link ConfigError}, which names every setting that is wrong, unknown, or whose feature is not there yet.
 */
export function loadConfig(environment: Record<string, string>, options: { isTerminal: boolean }): Config {
  const problems: ConfigProblem[] = [];
  const given = (name: string) => (environment[name] ?? "").trim() !== "";

  function read<N extends keyof typeof SETTINGS>(name: N): z.output<(typeof SETTINGS)[N]> {
    const schema: z.ZodType<unknown> = SETTINGS[name];
    const parsed = schema.safeParse(given(name) ? environment[name]?.trim() : undefined);
    if (!parsed.success) problems.push({ name, detail: parsed.error.issues.map((issue) => issue.message).join("; ") });
    return (parsed.success ? parsed.data : schema.parse(undefined)) as z.output<(typeof SETTINGS)[N]>;
  }

  const prefix = read("EVENTHUB_STREAM_PREFIX");
  const entriesMax = read("EVENTHUB_STREAM_MAXLEN");
  const streamUrl = read("EVENTHUB_STREAM_URL");
  const config: Config = {
    host: read("EVENTHUB_HOST"),
    httpPort: given("EVENTHUB_HTTP_PORT") ? read("EVENTHUB_HTTP_PORT") : read("PORT"),
    grpcPort: read("EVENTHUB_GRPC_PORT"),
    store: read("EVENTHUB_STORE_URL"),
    stream: streamUrl === null ? null : { kind: "redis", url: streamUrl, prefix, entriesMax },
    roles: read("EVENTHUB_ROLES"),
    retentionMs: read("EVENTHUB_RETENTION"),
    maxFutureMs: read("EVENTHUB_MAX_FUTURE"),
    naiveZone: read("EVENTHUB_NAIVE_ZONE"),
    requestTimeoutMs: read("EVENTHUB_REQUEST_TIMEOUT"),
    shutdownTimeoutMs: read("EVENTHUB_SHUTDOWN_TIMEOUT"),
    corsOrigins: read("EVENTHUB_CORS_ORIGINS"),
    metrics: read("EVENTHUB_METRICS"),
    introspection: read("EVENTHUB_INTROSPECTION"),
    reflection: read("EVENTHUB_REFLECTION"),
    graphiql: read("EVENTHUB_GRAPHIQL"),
    logLevel: read("EVENTHUB_LOG_LEVEL"),
    logFormat: read("EVENTHUB_LOG_FORMAT") ?? (options.isTerminal ? "pretty" : "json"),
  };
  read("EVENTHUB_AUTH");
  read("EVENTHUB_RATE_LIMIT");
  if (read("EVENTHUB_ALLOW_PUBLIC") === "false" && !isLoopback(config.host)) {
    problems.push({
      name: "EVENTHUB_HOST",
      detail: `${config.host} can be reached from other machines, and there is no authentication; ` +
        "use 127.0.0.1, or say EVENTHUB_ALLOW_PUBLIC=true",
    });
  }
  if (config.httpPort === config.grpcPort && config.httpPort !== 0 && config.roles.includes("grpc")) {
    problems.push({ name: "EVENTHUB_GRPC_PORT", detail: `must not be the HTTP port, ${config.httpPort}` });
  }
  problems.push(...profileProblems(config, { problems, given }));
  for (const name of Object.keys(environment).sort()) {
    const problem = nameProblem(name);
    if (problem !== null && (given(name) || !Object.hasOwn(NOT_YET, name))) problems.push({ name, detail: problem });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** What does not go together: MongoDB and Redis belong to each other, and the embedded stores are one process. */
function profileProblems(
  { store, stream, roles }: Config,
  { problems, given }: { problems: readonly ConfigProblem[]; given: (name: string) => boolean },
): ConfigProblem[] {
  // Of a setting that cannot be read nobody knows what it goes with.
  const read = (name: string) => !problems.some((problem) => problem.name === name);
  const found: ConfigProblem[] = [];
  const isDistributed = store.kind === "mongodb";
  if (read("EVENTHUB_STORE_URL") && read("EVENTHUB_STREAM_URL")) {
    if (isDistributed && stream === null) {
      found.push({ name: "EVENTHUB_STREAM_URL", detail: "must be redis://… beside a MongoDB store" });
    } else if (!isDistributed && stream !== null) {
      found.push({
        name: "EVENTHUB_STREAM_URL",
        detail: `goes with a MongoDB store only; with ${store.kind}: the live stream is the store's own log`,
      });
    } else if (stream === null) {
      for (const name of ["EVENTHUB_STREAM_PREFIX", "EVENTHUB_STREAM_MAXLEN"]) {
        if (given(name)) found.push({ name, detail: "goes with EVENTHUB_STREAM_URL only" });
      }
    }
  }
  if (read("EVENTHUB_STORE_URL") && !isDistributed && !(roles.includes("http") && roles.includes("rollup"))) {
    found.push({
      name: "EVENTHUB_ROLES",
      detail: "must name http and rollup: the embedded store is one process, only grpc can be left out",
    });
  }
  return found;
}

/** The effective values for the log, by their environment names, with secrets hidden. */
export function describeConfig(config: Config): Record<string, string> {
  return {
    EVENTHUB_HOST: config.host,
    EVENTHUB_HTTP_PORT: String(config.httpPort),
    EVENTHUB_GRPC_PORT: String(config.grpcPort),
    EVENTHUB_STORE_URL: describeStore(config.store),
    EVENTHUB_STREAM_URL: config.stream === null ? "" : withoutPassword(config.stream.url),
    EVENTHUB_STREAM_PREFIX: config.stream?.prefix ?? "",
    EVENTHUB_STREAM_MAXLEN: config.stream === null ? "" : String(config.stream.entriesMax),
    EVENTHUB_ROLES: config.roles.join(","),
    EVENTHUB_AUTH: "off",
    EVENTHUB_ALLOW_PUBLIC: String(!isLoopback(config.host)),
    EVENTHUB_RATE_LIMIT: "off",
    EVENTHUB_RETENTION: config.retentionMs === null ? "off" : formatDuration(config.retentionMs),
    EVENTHUB_MAX_FUTURE: formatDuration(config.maxFutureMs),
    EVENTHUB_NAIVE_ZONE: config.naiveZone,
    EVENTHUB_REQUEST_TIMEOUT: formatDuration(config.requestTimeoutMs),
    EVENTHUB_SHUTDOWN_TIMEOUT: formatDuration(config.shutdownTimeoutMs),
    EVENTHUB_CORS_ORIGINS: config.corsOrigins.join(","),
    EVENTHUB_METRICS: config.metrics,
    EVENTHUB_INTROSPECTION: config.introspection,
    EVENTHUB_REFLECTION: config.reflection,
    EVENTHUB_GRAPHIQL: config.graphiql,
    EVENTHUB_LOG_LEVEL: config.logLevel,
    EVENTHUB_LOG_FORMAT: config.logFormat,
  };
}

function describeStore(store: Config["store"]): string {
  if (store.kind === "memory") return "memory:";
  return store.kind === "sqlite" ? `sqlite:${store.path}` : withoutPassword(store.url);
}

/** A URL for the log. What stands before the host may be a password alone; so may what follows as options. */
function withoutPassword(url: string): string {
  return url.replace(/^([a-z0-9+]+:\/\/)[^/?#]*@/i, "$1***@").replace(/\?.*$/, "?***");
}

/** What is wrong with the name of a variable, whatever its value; `null` for nothing. */
function nameProblem(name: string): string | null {
  if (!name.startsWith(PREFIX) || name.startsWith(TEST_PREFIX) || Object.hasOwn(SETTINGS, name)) return null;
  if (COMMAND_LINE.has(name)) return null;
  const notYet = NOT_YET[name];
  if (notYet !== undefined) return notYet;
  const known = Object.keys(SETTINGS).concat(Object.keys(NOT_YET)).filter((other) => other.startsWith(PREFIX));
  const meant = closestName(name.toUpperCase(), known);
  return meant === null ? "no such setting" : `no such setting; did you mean ${meant}?`;
}
