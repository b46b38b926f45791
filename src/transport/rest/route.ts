/** A route: what answers it, and what describes it. */
import type { Config } from "../../config.ts";
import type { DeadLetterApi } from "../../dead_letter_desk.ts";
import type { ErrorCode } from "../../errors.ts";
import type { HubApi, Sender } from "../../hub.ts";
import type { BodyReader } from "../body.ts";
import type { Exchange } from "./exchange.ts";
import type { RouteParameters } from "./parameters.ts";
import type { Parameters } from "./query.ts";
import type { SchemaName } from "./schemas.ts";

/** The tenant of everyone while there are no credentials. */
export const TENANT = "default";
/** Who sends over REST while there are no credentials. */
export const SENDER: Sender = { tenant: TENANT, source: "rest" };

/** What the process around the transport knows. */
export interface Operations {
  /** Whether requests can be served now, and what each part says. */
  ready(): Promise<{ ok: boolean; checks: Record<string, { ok: boolean; detail: string }> }>;
  /** All metrics in Prometheus' text format. */
  metrics(): Promise<string>;
  readonly version: string;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
}

/** A page or an asset for people, by its path. */
export interface Page {
  /** What it is, in a few words. */
  readonly title: string;
  /** Its Content-Type. */
  readonly type: string;
  readonly text: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** What handlers work with. */
export interface RestContext {
  readonly hub: HubApi;
  readonly deadLetters: DeadLetterApi;
  readonly config: Config;
  readonly operations: Operations;
  readonly bodies: BodyReader;
  readonly parameters: RouteParameters;
}

/** Bodies by media type, each with the schemas its JSON or its lines may have; `null` where it is no JSON. */
export type Contents = Readonly<Record<string, SchemaName | readonly SchemaName[] | null>>;

/** An answer as the documentation shows it. */
export interface DocumentedAnswer {
  readonly description: string;
  readonly content?: Contents;
  readonly headers?: Readonly<Record<string, string>>;
}

/** A route as the documentation shows it. */
export interface Operation {
  readonly id: string;
  readonly tag: "events" | "aggregates" | "dead letters" | "operations" | "administration" | "documentation";
  readonly summary: string;
  readonly description?: string;
  readonly query?: Parameters;
  /** Variable parts of the path, each with its description. */
  readonly path?: Readonly<Record<string, string>>;
  /** Request headers that matter, each with its description. */
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Contents;
  /** Whether the body may be missing; otherwise it must be there. */
  readonly bodyOptional?: boolean;
  /** By status. */
  readonly answers: Readonly<Record<number, DocumentedAnswer>>;
  /** What can go wrong beside `not_acceptable`, `timeout` of a body, and `internal`. */
  readonly errors: readonly ErrorCode[];
}

/** One method of one path. Variable parts of the path stand in braces. A GET answers HEAD too. */
export interface Route {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly operation: Operation;
  handle(exchange: Exchange): Response | Promise<Response>;
}
