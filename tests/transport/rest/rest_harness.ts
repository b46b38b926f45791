/** What tests of the REST interface stand on: the interface over a hub over the memory drivers, and short requests. */
import type { Config } from "../../../src/config.ts";
import { type DeadLetterApi, DeadLetterDesk } from "../../../src/dead_letter_desk.ts";
import type { DeadLetters } from "../../../src/dead_letters.ts";
import type { HubApi } from "../../../src/hub.ts";
import { MemoryDeadLetters } from "../../../src/storage/memory_dead_letters.ts";
import { createRest, type Operations, type Rest } from "../../../src/transport/rest/server.ts";
import { type SchemaName, SCHEMAS } from "../../../src/transport/rest/schemas.ts";
import { pages } from "../../../src/web/pages.ts";
import { altered } from "../../altered.ts";
import { openTestHub, START, testConfig, type TestHub, type TestHubOptions } from "../../harness.ts";
import { assertEquals } from "@std/assert";

/** An event that is right, with a time at the clock of the test hub. */
export const EVENT = { user_id: "u1", event_type: "purchase", amount: 12.5, timestamp: "2025-07-15T12:34:00Z" };
/** The same with an id. */
export const withId = (id: string, more: Record<string, unknown> = {}) => ({ ...EVENT, id, ...more });

/** What a test may have instead of the usual. */
export interface TestRestOptions {
  readonly config?: Partial<Config>;
  readonly hub?: TestHubOptions;
  /** Replaces methods of the hub. */
  readonly replace?: Partial<HubApi>;
  /** Replaces methods of the dead letters. */
  readonly replaceLetters?: Partial<DeadLetterApi>;
  readonly wrapLetters?: (letters: DeadLetters) => DeadLetters;
  readonly operations?: Partial<Operations>;
  readonly observe?: (route: string, status: number, seconds: number) => void;
}

/** A request in short. An object as body is sent as JSON. */
export interface Ask {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: unknown;
  readonly type?: string;
}

/** An answer with its JSON, when it has some. */
export interface Answered {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  // deno-lint-ignore no-explicit-any -- tests look into answers freely
  readonly json: any;
}

/** The interface under test. */
export interface TestRest extends TestHub {
  /** What `GET /dead-letters` shows. */
  readonly letters: DeadLetters;
  readonly rest: Rest;
  /** Asks and reads the whole answer. */
  ask(path: string, options?: Ask): Promise<Answered>;
  /** Asks for a stream. */
  open(path: string, options?: Ask): Promise<Response>;
}

/** Opens the REST interface over a test hub. */
export function openRest(options: TestRestOptions = {}): TestRest {
  const test = openTestHub(options.hub);
  const hub = options.replace === undefined ? test.hub : altered<HubApi>(test.hub, options.replace);
  const config = testConfig(options.config);
  const { wrapLetters = (letters) => letters } = options;
  const letters = wrapLetters(new MemoryDeadLetters());
  const desk = new DeadLetterDesk({ ...config, now: test.clock.now, hub, letters });
  const rest = createRest({
    hub,
    deadLetters: altered<DeadLetterApi>(desk, options.replaceLetters ?? {}),
    config,
    operations: {
      ready: () => Promise.resolve({ ok: true, checks: { store: { ok: true, detail: "memory" } } }),
      metrics: () => Promise.resolve("# HELP x\n"),
      version: "0.0.0-test",
      startedAt: START,
      ...options.operations,
    },
    documents: { schema: "type Query { a: Int }\n", protos: { "event.proto": 'syntax = "proto3";\n' } },
    pages,
    observe: options.observe,
  });
  const open = async (path: string, ask: Ask = {}) => await rest.fetch(request(path, ask));
  return {
    ...test,
    letters,
    rest,
    open,
    ask: async (path, ask) => {
      const response = await open(path, ask);
      const text = await response.text();
      const type = response.headers.get("content-type") ?? "";
      return {
        status: response.status,
        headers: response.headers,
        text,
        json: type.includes("json") && text !== "" ? JSON.parse(text) : undefined,
      };
    },
    [Symbol.asyncDispose]: () => test[Symbol.asyncDispose](),
  };
}

/** A request to the interface under test. */
export function request(path: string, { method, headers = {}, body, type }: Ask = {}): Request {
  const plain = body === undefined || typeof body === "string" || body instanceof Uint8Array ||
    body instanceof ReadableStream;
  const contentType = type ?? (body === undefined ? undefined : "application/json");
  return new Request(`http://hub.test${path}`, {
    method: method ?? (body === undefined ? "GET" : "POST"),
    headers: { ...(contentType === undefined ? {} : { "content-type": contentType }), ...headers },
    body: plain ? body as BodyInit | undefined : JSON.stringify(body),
  });
}

/** Fails unless the value has exactly the shape that the documentation promises. */
export function assertShape(name: SchemaName, value: unknown): void {
  const parsed = SCHEMAS[name].safeParse(value);
  assertEquals(parsed.success ? [] : parsed.error.issues, [], `not a ${name}: ${JSON.stringify(value)}`);
}

/** Fails unless the answer is a problem of that status and code, in full. */
export function assertProblem(answered: Answered, status: number, code: string): void {
  assertEquals([answered.status, answered.json?.code], [status, code], answered.text);
  assertEquals(answered.headers.get("content-type"), "application/problem+json");
  assertEquals(answered.json.status, status);
  assertEquals(answered.json.request_id, answered.headers.get("x-request-id"));
  if (!("results" in answered.json) && !("checks" in answered.json)) assertShape("Problem", answered.json);
}

/** The faults of an answer as `place code`, sorted. */
export function faults(answered: Answered): string[] {
  const errors: { pointer?: string; parameter?: string; code: string }[] = answered.json.errors ?? [];
  return errors.map(({ pointer, parameter, code }) => `${pointer ?? parameter} ${code}`).sort();
}
