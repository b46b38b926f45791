/** Configuration from the environment, and nowhere else. Every problem is reported at once. */
import { z } from "zod";
import { RETENTION_MIN_MS } from "./limits.ts";
import { closestName } from "./spelling.ts";
import { isTimeZone } from "./time_zone.ts";

/** Parts of the hub a process runs. */
export type Role = "http" | "grpc" | "rollup";

/** What strangers may look at. `admin` needs credentials and so is refused while `EVENTHUB_AUTH` is `off`. */
export type Exposure = "on" | "off" | "admin";

/** The effective configuration; plain data, so that it can be handed to a Worker. Durations in milliseconds. */
export interface Config {
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly store: { readonly kind: "sqlite"; readonly path: string } | { readonly kind: "memory" };
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

const UNIT_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const MINUTE = UNIT_MS.m;
const DAY = UNIT_MS.d;
const ROLES: readonly Role[] = ["http", "grpc", "rollup"];

/** Every setting that works today: how its text is read, and what it is when nothing is set. */
const SETTINGS = {
  EVENTHUB_HOST: text(readHost).default("127.0.0.1"),
  PORT: text(readPort).default(8000),
  EVENTHUB_HTTP_PORT: text(readPort).default(8000),
  EVENTHUB_GRPC_PORT: text(readPort).default(50051),
  EVENTHUB_STORE_URL: text(readStore).default({ kind: "sqlite", path: "./data/eventhub.db" }),
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
const STREAM = "a stream beside the store is not supported yet; the live stream is the store's own log";

/** Settings whose feature is not there yet: a hub that ignored one would not do what its operator believes. */
const NOT_YET: Readonly<Record<string, string>> = {
  EVENTHUB_STREAM_URL: STREAM,
  EVENTHUB_STREAM_PREFIX: STREAM,
  EVENTHUB_STREAM_MAXLEN: STREAM,
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

  const config: Config = {
    host: read("EVENTHUB_HOST"),
    httpPort: given("EVENTHUB_HTTP_PORT") ? read("EVENTHUB_HTTP_PORT") : read("PORT"),
    grpcPort: read("EVENTHUB_GRPC_PORT"),
    store: read("EVENTHUB_STORE_URL"),
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
  for (const name of Object.keys(environment).sort()) {
    const problem = nameProblem(name);
    if (problem !== null && (given(name) || !Object.hasOwn(NOT_YET, name))) problems.push({ name, detail: problem });
  }
  if (problems.length > 0) throw new ConfigError(problems);
  return config;
}

/** The effective values for the log, by their environment names, with secrets hidden. */
export function describeConfig(config: Config): Record<string, string> {
  return {
    EVENTHUB_HOST: config.host,
    EVENTHUB_HTTP_PORT: String(config.httpPort),
    EVENTHUB_GRPC_PORT: String(config.grpcPort),
    EVENTHUB_STORE_URL: config.store.kind === "memory" ? "memory:" : `sqlite:${config.store.path}`,
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

/** Thrown by a reader below; its message is what the operator is told. */
class Expected extends Error {}

function text<T>(reader: (value: string) => T) {
  return z.string().transform((value, context): T => {
    try {
      return reader(value);
    } catch (error) {
      if (!(error instanceof Expected)) throw error;
      context.addIssue({ code: "custom", message: error.message });
      return z.NEVER;
    }
  });
}

function oneOf<const T extends readonly string[]>(...values: T) {
  return z.enum(values, { error: (issue) => `must be ${values.join(" or ")}; it is ${JSON.stringify(issue.input)}` });
}

function duration(minimum: number, maximum: number) {
  return text((value) => readDuration(value, minimum, maximum));
}

function readDuration(value: string, minimum: number, maximum: number): number {
  const match = /^([0-9]{1,12})(ms|s|m|h|d)$/.exec(value);
  if (match === null) {
    throw new Expected(
      `must be a number and a unit (ms, s, m, h, d) such as 30s or 90d; it is ${JSON.stringify(value)}`,
    );
  }
  const milliseconds = Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
  if (milliseconds < minimum || milliseconds > maximum) {
    throw new Expected(`must be ${formatDuration(minimum)} to ${formatDuration(maximum)}; it is ${value}`);
  }
  return milliseconds;
}

function formatDuration(milliseconds: number): string {
  const unit = (["d", "h", "m", "s"] as const).find((name) => milliseconds !== 0 && milliseconds % UNIT_MS[name] === 0);
  return unit === undefined ? `${milliseconds}ms` : `${milliseconds / UNIT_MS[unit]}${unit}`;
}

function readHost(value: string): string {
  const host = value.replace(/^\[(.*)\]$/, "$1");
  const isAddress6 = host.includes("::") || host.split(":").length > 2;
  if (!/^[A-Za-z0-9.:%_-]+$/.test(host) || (host.includes(":") && !isAddress6)) {
    throw new Expected(`must be an address or a host name, without a port; it is ${JSON.stringify(value)}`);
  }
  return host;
}

/** Whether only this machine can reach the address. A name other than `localhost` may mean any address. */
function isLoopback(host: string): boolean {
  return host.toLowerCase() === "localhost" || host === "::1" ||
    /^127\.(?:[0-9]{1,3})\.(?:[0-9]{1,3})\.(?:[0-9]{1,3})$/.test(host);
}

function readPort(value: string): number {
  if (!/^[0-9]{1,5}$/.test(value) || Number(value) > 65_535) {
    throw new Expected(`must be a port, 0 to 65535 (0 is any free one); it is ${JSON.stringify(value)}`);
  }
  return Number(value);
}

/** Only the scheme of a URL is repeated in an error: what follows may hold a password. */
function readStore(value: string): Config["store"] {
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(value)?.[1]?.toLowerCase();
  if (scheme === "memory") {
    if (value.length > "memory:".length) throw new Expected("must be memory: with nothing behind it");
    return { kind: "memory" };
  }
  if (scheme === "sqlite") {
    const path = value.slice("sqlite:".length).replace(/^\/\/(?=\/)/, "");
    if (path === "" || path.endsWith("/") || path.startsWith("//") || /[?#\0]/.test(path) || path.startsWith(":")) {
      throw new Expected("must name a file, such as sqlite:./data/eventhub.db or sqlite:/var/lib/eventhub.db");
    }
    return { kind: "sqlite", path };
  }
  if (scheme !== undefined && ["mongodb", "mongodb+srv", "redis", "rediss", "kafka"].includes(scheme)) {
    throw new Expected(`${scheme}: is not supported yet; use sqlite:<file> or memory:`);
  }
  throw new Expected("must be sqlite:<file> or memory:");
}

/** The embedded store is one process: what it leaves out, no other process could do. */
function readRoles(value: string): Role[] {
  const names = value.split(",").map((name) => name.trim());
  const unknown = names.find((name) => !(ROLES as readonly string[]).includes(name));
  if (unknown !== undefined) {
    throw new Expected(`must be a list of ${ROLES.join(", ")}; ${JSON.stringify(unknown)} is none`);
  }
  if (!names.includes("http") || !names.includes("rollup")) {
    throw new Expected("must name http and rollup: the embedded store is one process, only grpc can be left out");
  }
  return ROLES.filter((role) => names.includes(role));
}

function readAuth(value: string): "off" {
  if (value === "off") return value;
  throw new Expected("authentication is not supported yet; the only value is off");
}

function readRateLimit(value: string): "off" {
  if (value === "off") return value;
  throw new Expected("rate limits are not supported yet; the only value is off");
}

function readRetention(value: string): number | null {
  return value === "off" ? null : readDuration(value, RETENTION_MIN_MS, 36_500 * DAY);
}

function readZone(value: string): string {
  if (isTimeZone(value)) return value;
  throw new Expected(`must be an IANA time zone such as UTC or Europe/Berlin; it is ${JSON.stringify(value)}`);
}

function readOrigins(value: string): string[] {
  return value.split(",").map((part) => {
    const origin = part.trim();
    if (!/^https?:\/\/[^/]+$/.test(origin) || !URL.canParse(origin) || new URL(origin).origin !== origin) {
      throw new Expected(
        `must be a list of origins such as https://shop.example, without a path; ${JSON.stringify(origin)} is none`,
      );
    }
    return origin;
  });
}

function readExposure(value: string): Exposure {
  if (value === "on" || value === "off") return value;
  if (value === "admin") throw new Expected("admin needs authentication, which is not supported yet; use on or off");
  throw new Expected(`must be on or off; it is ${JSON.stringify(value)}`);
}

/** What is wrong with the name of a variable, whatever its value; `null` for nothing. */
function nameProblem(name: string): string | null {
  if (!name.startsWith(PREFIX) || name.startsWith(TEST_PREFIX) || Object.hasOwn(SETTINGS, name)) return null;
  const notYet = NOT_YET[name];
  if (notYet !== undefined) return notYet;
  const known = Object.keys(SETTINGS).concat(Object.keys(NOT_YET)).filter((other) => other.startsWith(PREFIX));
  const meant = closestName(name.toUpperCase(), known);
  return meant === null ? "no such setting" : `no such setting; did you mean ${meant}?`;
}
