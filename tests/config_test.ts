/** Configuration: defaults, every problem at once, and nothing that is set is ignored. */
import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { type Config, ConfigError, describeConfig, loadConfig } from "../src/config.ts";

function load(environment: Record<string, string> = {}): Config {
  return loadConfig(environment, { isTerminal: false });
}

/** The problems as `name: detail`. */
function problems(environment: Record<string, string>): string[] {
  const error = assertThrows(() => load(environment), ConfigError);
  for (const { name, detail } of error.problems) assertStringIncludes(error.message, `${name}: ${detail}`);
  return error.problems.map(({ name, detail }) => `${name}: ${detail}`);
}

Deno.test("config: with nothing set, everything has its default", () => {
  assertEquals(load({ HOME: "/", OTHER_THING: "x" }), {
    host: "127.0.0.1",
    httpPort: 8000,
    grpcPort: 50051,
    store: { kind: "sqlite", path: "./data/eventhub.db" },
    stream: null,
    roles: ["http", "grpc", "rollup"],
    retentionMs: null,
    maxFutureMs: 86_400_000,
    naiveZone: "UTC",
    requestTimeoutMs: 30_000,
    shutdownTimeoutMs: 10_000,
    corsOrigins: [],
    metrics: "on",
    introspection: "on",
    reflection: "on",
    graphiql: "on",
    logLevel: "info",
    logFormat: "json",
  });
  assertEquals(loadConfig({}, { isTerminal: true }).logFormat, "pretty");
});

Deno.test("config: everything that can be set is read", () => {
  const config = load({
    EVENTHUB_HOST: "[::1]",
    EVENTHUB_HTTP_PORT: "0",
    PORT: "9000",
    EVENTHUB_GRPC_PORT: "0",
    EVENTHUB_STORE_URL: "sqlite:/var/lib/hub.db",
    EVENTHUB_ROLES: "rollup, http",
    EVENTHUB_AUTH: "off",
    EVENTHUB_RATE_LIMIT: "off",
    EVENTHUB_RETENTION: "90d",
    EVENTHUB_MAX_FUTURE: "5m",
    EVENTHUB_NAIVE_ZONE: "Europe/Berlin",
    EVENTHUB_REQUEST_TIMEOUT: "500ms",
    EVENTHUB_SHUTDOWN_TIMEOUT: "1m",
    EVENTHUB_CORS_ORIGINS: "https://shop.example, http://localhost:3000",
    EVENTHUB_METRICS: "off",
    EVENTHUB_INTROSPECTION: "off",
    EVENTHUB_REFLECTION: "off",
    EVENTHUB_GRAPHIQL: "off",
    EVENTHUB_LOG_LEVEL: "debug",
    EVENTHUB_LOG_FORMAT: "pretty",
    EVENTHUB_TEST_REQUIRE: "redis",
    EVENTHUB_PROTOTYPE_URL: "mongodb://user:secret@elsewhere/event_hub",
  });
  assertEquals(config, {
    host: "::1",
    httpPort: 0,
    grpcPort: 0,
    store: { kind: "sqlite", path: "/var/lib/hub.db" },
    stream: null,
    roles: ["http", "rollup"],
    retentionMs: 90 * 86_400_000,
    maxFutureMs: 300_000,
    naiveZone: "Europe/Berlin",
    requestTimeoutMs: 500,
    shutdownTimeoutMs: 60_000,
    corsOrigins: ["https://shop.example", "http://localhost:3000"],
    metrics: "off",
    introspection: "off",
    reflection: "off",
    graphiql: "off",
    logLevel: "debug",
    logFormat: "pretty",
  });
});

Deno.test("config: an empty value is the same as none, and space around one does not count", () => {
  const empty = {
    EVENTHUB_HOST: "",
    EVENTHUB_RETENTION: " ",
    EVENTHUB_STREAM_URL: "",
    PORT: "",
    EVENTHUB_HTTP_PORT: "",
  };
  assertEquals(load(empty), load());
  assertEquals(load({ EVENTHUB_LOG_LEVEL: " error " }).logLevel, "error");
});

Deno.test("config: PORT is heard, and EVENTHUB_HTTP_PORT beats it", () => {
  assertEquals(load({ PORT: "9000" }).httpPort, 9000);
  assertEquals(load({ PORT: "9000", EVENTHUB_HTTP_PORT: "9001" }).httpPort, 9001);
  assertEquals(problems({ PORT: "http" }).length, 1);
});

Deno.test("config: every problem is told at once", () => {
  const names = assertThrows(() =>
    load({
      EVENTHUB_HTTP_PORT: "70000",
      EVENTHUB_RETENTION: "30m",
      EVENTHUB_NAIVE_ZONE: "Mars/Olympus",
      EVENTHUB_HOST: "0.0.0.0",
      EVENTHUB_AUTH: "keys",
      EVENTHUB_KAFKA_USER: "me",
      EVENTHUB_LOGLEVEL: "debug",
    }), ConfigError).problems.map((problem) => problem.name);
  assertEquals(names.toSorted(), [
    "EVENTHUB_AUTH",
    "EVENTHUB_HOST",
    "EVENTHUB_HTTP_PORT",
    "EVENTHUB_KAFKA_USER",
    "EVENTHUB_LOGLEVEL",
    "EVENTHUB_NAIVE_ZONE",
    "EVENTHUB_RETENTION",
  ]);
});

Deno.test("config: a wrong value is refused and the sentence says what was expected", () => {
  const cases: [string, string, string][] = [
    ["EVENTHUB_HOST", "127.0.0.1:8000", "without a port"],
    ["EVENTHUB_HOST", "http://localhost", "without a port"],
    ["EVENTHUB_HTTP_PORT", "-1", "0 to 65535"],
    ["EVENTHUB_HTTP_PORT", "80.5", "0 to 65535"],
    ["EVENTHUB_GRPC_PORT", "65536", "0 to 65535"],
    ["EVENTHUB_STORE_URL", "./data/hub.db", "sqlite:<file> or memory:"],
    ["EVENTHUB_STORE_URL", "sqlite:", "must name a file"],
    ["EVENTHUB_STORE_URL", "sqlite::memory:", "must name a file"],
    ["EVENTHUB_STORE_URL", "sqlite:./data/", "must name a file"],
    ["EVENTHUB_STORE_URL", "sqlite:./hub.db?mode=ro", "must name a file"],
    ["EVENTHUB_STORE_URL", "memory:x", "nothing behind"],
    ["EVENTHUB_STORE_URL", "postgres://u:p@h/d", "sqlite:<file> or memory:"],
    ["EVENTHUB_ROLES", "http,web", '"web" is none'],
    ["EVENTHUB_ROLES", "http,grpc", "one process"],
    ["EVENTHUB_ROLES", "rollup", "one process"],
    ["EVENTHUB_ROLES", "grpc,rollup", "one process"],
    ["EVENTHUB_STORE_URL", "mongodb://", "must name a server"],
    ["EVENTHUB_STREAM_URL", "localhost:6379", "redis://"],
    ["EVENTHUB_STREAM_URL", "redis://localhost/shop", "number of a database"],
    ["EVENTHUB_STREAM_URL", "redis://localhost/1/2", "number of a database"],
    ["EVENTHUB_STREAM_URL", "redis://localhost/1?keyPrefix=x", "options"],
    ["EVENTHUB_STREAM_PREFIX", "a b", "1 to 64 characters"],
    ["EVENTHUB_STREAM_PREFIX", "events:in", "key of another hub"],
    ["EVENTHUB_STREAM_MAXLEN", "10", "from 1000 to"],
    ["EVENTHUB_ALLOW_PUBLIC", "yes", "true or false"],
    ["EVENTHUB_RETENTION", "59m", "1h to"],
    ["EVENTHUB_RETENTION", "90", "a number and a unit"],
    ["EVENTHUB_RETENTION", "1w", "a number and a unit"],
    ["EVENTHUB_RETENTION", "-1h", "a number and a unit"],
    ["EVENTHUB_MAX_FUTURE", "1000d", "0ms to"],
    ["EVENTHUB_NAIVE_ZONE", "+02:00", "IANA"],
    ["EVENTHUB_REQUEST_TIMEOUT", "1ms", "100ms to"],
    ["EVENTHUB_SHUTDOWN_TIMEOUT", "1d", "100ms to"],
    ["EVENTHUB_CORS_ORIGINS", "*", "list of origins"],
    ["EVENTHUB_CORS_ORIGINS", "https://a.example/", "without a path"],
    ["EVENTHUB_CORS_ORIGINS", "https://a.example,", "list of origins"],
    ["EVENTHUB_CORS_ORIGINS", "https://a.example,a.example", "list of origins"],
    ["EVENTHUB_METRICS", "yes", "on or off"],
    ["EVENTHUB_LOG_LEVEL", "warn", "debug or info or warning or error"],
    ["EVENTHUB_LOG_FORMAT", "text", "pretty or json"],
  ];
  for (const [name, value, part] of cases) {
    const found = problems({ [name]: value }).filter((problem) => !problem.includes("goes with"));
    assertEquals(found.length, 1, found.join("\n"));
    assert(found[0]!.startsWith(`${name}: `), found[0]);
    assertStringIncludes(found[0]!, part);
  }
});

Deno.test("config: a setting whose feature is not there yet is refused by name", () => {
  const cases: Record<string, string> = {
    EVENTHUB_AUTH: "jwt",
    EVENTHUB_RATE_LIMIT: "5000/s",
    EVENTHUB_API_KEYS_FILE: "./keys",
    EVENTHUB_JWT_ISSUER: "https://issuer.example",
    EVENTHUB_JWT_AUDIENCE: "hub",
    EVENTHUB_JWT_JWKS: "https://issuer.example/jwks",
    EVENTHUB_STREAM_URL: "kafka://localhost:9092/events",
    EVENTHUB_TRUSTED_PROXIES: "10.0.0.1",
    EVENTHUB_KAFKA_USER: "u",
    EVENTHUB_KAFKA_PASSWORD: "p",
    EVENTHUB_KAFKA_SASL: "plain",
    EVENTHUB_KAFKA_TLS: "true",
    EVENTHUB_KAFKA_CA: "./ca.pem",
    EVENTHUB_GRPC_TLS_CERT: "./cert.pem",
    EVENTHUB_GRPC_TLS_KEY: "./key.pem",
    EVENTHUB_GRPC_TLS_CLIENT_CA: "./ca.pem",
    EVENTHUB_METRICS: "admin",
    EVENTHUB_INTROSPECTION: "admin",
    EVENTHUB_REFLECTION: "admin",
    EVENTHUB_GRAPHIQL: "admin",
  };
  for (const [name, value] of Object.entries(cases)) {
    const found = problems({ [name]: value });
    assertEquals(found.length, 1, found.join("\n"));
    assert(found[0]!.startsWith(`${name}: `) && /not (supported|used) yet/.test(found[0]!), found[0]);
  }
});

Deno.test("config: MongoDB and Redis are set together, with any roles", () => {
  const urls = { EVENTHUB_STORE_URL: "mongodb://db:27017/hub", EVENTHUB_STREAM_URL: "redis://stream:6379" };
  const config = load(urls);
  assertEquals(config.store, { kind: "mongodb", url: "mongodb://db:27017/hub" });
  assertEquals(config.stream, { kind: "redis", url: "redis://stream:6379", prefix: "events", entriesMax: 1_000_000 });
  assertEquals(load(describeConfig(config)), config);
  const more = load({
    EVENTHUB_STORE_URL: "mongodb+srv://cluster.example/hub",
    EVENTHUB_STREAM_URL: "rediss://stream/1",
    EVENTHUB_STREAM_PREFIX: "shop:events",
    EVENTHUB_STREAM_MAXLEN: "5000",
  });
  assertEquals([more.stream?.prefix, more.stream?.entriesMax], ["shop:events", 5_000]);
  for (const roles of ["http", "grpc", "rollup", "http,grpc", "grpc,rollup", "http,grpc,rollup"]) {
    assertEquals(load({ ...urls, EVENTHUB_ROLES: roles }).roles.join(), roles);
  }
});

Deno.test("config: any other pair of store and stream is refused by name", () => {
  const mongodb = "mongodb://localhost/hub";
  const redis = "redis://localhost";
  const cases: [Record<string, string>, string][] = [
    [{ EVENTHUB_STORE_URL: mongodb }, "EVENTHUB_STREAM_URL: must be redis://"],
    [{ EVENTHUB_STREAM_URL: redis }, "EVENTHUB_STREAM_URL: goes with a MongoDB store only"],
    [
      { EVENTHUB_STORE_URL: "memory:", EVENTHUB_STREAM_URL: redis },
      "EVENTHUB_STREAM_URL: goes with a MongoDB store only",
    ],
    [{ EVENTHUB_STORE_URL: mongodb, EVENTHUB_STREAM_URL: "kafka://k:9092/t" }, "EVENTHUB_STREAM_URL: Kafka is not"],
    [{ EVENTHUB_STORE_URL: redis }, "EVENTHUB_STORE_URL: redis: is no store"],
    [{ EVENTHUB_STREAM_PREFIX: "events" }, "EVENTHUB_STREAM_PREFIX: goes with EVENTHUB_STREAM_URL only"],
    [{ EVENTHUB_STREAM_MAXLEN: "5000" }, "EVENTHUB_STREAM_MAXLEN: goes with EVENTHUB_STREAM_URL only"],
  ];
  for (const [environment, start] of cases) {
    const found = problems(environment);
    assertEquals(found.length, 1, found.join("\n"));
    assert(found[0]!.startsWith(start), found[0]);
  }
});

Deno.test("config: passwords of URLs are neither described nor repeated in an error", () => {
  const described = describeConfig(load({
    EVENTHUB_STORE_URL: "mongodb://user:secret@host/hub?authSource=admin&tlsCertificateKeyFilePassword=secret",
    EVENTHUB_STREAM_URL: "rediss://:secret@host:6380/0",
  }));
  assertEquals(described.EVENTHUB_STORE_URL, "mongodb://***@host/hub?***");
  assertEquals(described.EVENTHUB_STREAM_URL, "rediss://***@host:6380/0");
  for (const scheme of ["redis", "rediss", "kafka", "postgres", "mongodb:"]) {
    const found = problems({ EVENTHUB_STORE_URL: `${scheme}://user:secret@host/event_hub` });
    assert(!found.join().includes("secret"), found.join());
  }
  assert(!problems({ EVENTHUB_STREAM_URL: "amqp://user:secret@host" }).join().includes("secret"));
});

Deno.test("config: an unknown name is refused, with what was perhaps meant", () => {
  assertEquals(problems({ EVENTHUB_LOGLEVEL: "info" }), [
    "EVENTHUB_LOGLEVEL: no such setting; did you mean EVENTHUB_LOG_LEVEL?",
  ]);
  assertEquals(problems({ EVENTHUB_PORT: "1" }), [
    "EVENTHUB_PORT: no such setting; did you mean EVENTHUB_HTTP_PORT?",
  ]);
  assertEquals(problems({ EVENTHUB_retention: "1h" }), [
    "EVENTHUB_retention: no such setting; did you mean EVENTHUB_RETENTION?",
  ]);
  assertEquals(problems({ EVENTHUB_FLUX_CAPACITOR: "" }), ["EVENTHUB_FLUX_CAPACITOR: no such setting"]);
  assertEquals(problems({ EVENTHUB_toString: "1" }).length, 1);
});

Deno.test("config: beyond loopback only when it is said", () => {
  for (const host of ["0.0.0.0", "::", "[::]", "192.168.1.5", "hub.example", "127.0.0.1.example", "::ffff:127.0.0.1"]) {
    assertStringIncludes(problems({ EVENTHUB_HOST: host }).join(), "EVENTHUB_ALLOW_PUBLIC=true");
    const config = load({ EVENTHUB_HOST: host, EVENTHUB_ALLOW_PUBLIC: "true" });
    assertEquals(config.host, host.replace(/[[\]]/g, ""));
    assertEquals(describeConfig(config).EVENTHUB_ALLOW_PUBLIC, "true");
  }
  for (const host of ["localhost", "LOCALHOST", "127.0.0.1", "127.8.9.1", "::1", "[::1]"]) {
    load({ EVENTHUB_HOST: host });
  }
});

Deno.test("config: the two ports differ", () => {
  assertStringIncludes(problems({ EVENTHUB_HTTP_PORT: "50051" }).join(), "must not be the HTTP port");
  assertEquals(load({ EVENTHUB_HTTP_PORT: "50051", EVENTHUB_ROLES: "http,rollup" }).httpPort, 50051);
});

Deno.test("config: the description holds every setting, and loading it gives the same", () => {
  const config = load({
    EVENTHUB_RETENTION: "90m",
    EVENTHUB_CORS_ORIGINS: "https://a.example",
    EVENTHUB_LOG_LEVEL: "error",
  });
  const description = describeConfig(config);
  assertEquals(description.EVENTHUB_RETENTION, "90m");
  assertEquals(load(description), config);
  const memory = load({ EVENTHUB_STORE_URL: "memory:", EVENTHUB_MAX_FUTURE: "0s" });
  assertEquals(load(describeConfig(memory)), memory);
});

Deno.test("config: is plain data that a Worker can be given", () => {
  assertEquals(structuredClone(load()), load());
});
