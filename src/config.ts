/** Configuration from the environment, and nowhere else. Every problem is reported at once. */

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
    super(`Cannot start: ${problems.length} setting(s) are wrong\n` + problems.map((p) => `  ${p.name}: ${p.detail}`).join("\n"));
    this.problems = problems;
  }
}

/** Reads the environment. `isTerminal` chooses the default log format. */
export function loadConfig(_environment: Record<string, string>, _options: { isTerminal: boolean }): Config {
  throw new Error("unwritten");
}

/** The effective values for the log, by their environment names, with secrets hidden. */
export function describeConfig(_config: Config): Record<string, string> {
  throw new Error("unwritten");
}
