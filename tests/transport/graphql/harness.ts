/**
 * What the tests of GraphQL stand on. graphql-js reads NODE_ENV when it is loaded, so without that permission nothing
 * may load it: modules that stand on it are imported when a test runs.
 */
import type { Config } from "../../../src/config.ts";
import type { HubApi } from "../../../src/hub.ts";
import { SUBSCRIBER_STALL_MS } from "../../../src/limits.ts";
import type { Graphql } from "../../../src/transport/graphql/server.ts";
import { openTestHub, testConfig, type TestHub, type TestHubOptions } from "../../harness.ts";

const mayLoad = Deno.permissions.querySync({ name: "env", variable: "NODE_ENV" }).state === "granted";
const mayListen = Deno.permissions.querySync({ name: "net" }).state === "granted";

/** A test that loads GraphQL; with `net` it also listens. */
export function graphqlTest(name: string, run: () => Promise<void>, needs: { net?: boolean } = {}): void {
  const missing = [...mayLoad ? [] : ["--allow-env"], ...!needs.net || mayListen ? [] : ["--allow-net"]];
  const reason = missing.length === 0 ? "" : ` (needs ${missing.join(" and ")}: deno task test)`;
  Deno.test({ name: `graphql: ${name}${reason}`, ignore: missing.length > 0, fn: run });
}

/** An error as it stands in an answer. */
export interface AnsweredError {
  readonly message: string;
  readonly path?: readonly (string | number)[];
  readonly extensions: Readonly<Record<string, unknown>> & {
    readonly code: string;
    readonly errors?: readonly { pointer?: string; parameter?: string; code: string; detail: string }[];
  };
}

/** An answer. Tests look at what they asked for, so the data is as loose as JSON is. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  // deno-lint-ignore no-explicit-any
  readonly data: any;
  readonly errors: readonly AnsweredError[];
}

/** What a test asks with. */
export interface AskOptions {
  readonly variables?: Record<string, unknown>;
  readonly operationName?: string;
  readonly headers?: Record<string, string>;
}

/** A GraphQL interface over a hub on the memory drivers. */
export interface TestGraphql extends AsyncDisposable, TestHub {
  readonly graphql: Graphql;
  /** Sends a query by POST. */
  ask(query: string, options?: AskOptions): Promise<Answer>;
  /** Opens a subscription over server-sent events. */
  follow(query: string, options?: AskOptions): Promise<EventStreamReader>;
  /** Stores events with these ids in the hub. */
  publish(...ids: string[]): Promise<void>;
}

/** What a test interface may have instead of the usual. */
export interface OpenOptions {
  readonly config?: Partial<Config>;
  readonly hub?: TestHubOptions;
  readonly wrapHub?: (hub: HubApi) => HubApi;
}

/** Where requests of tests go. */
export const URL_OF_TESTS = "http://hub.test/graphql";

/** Opens the interface. */
export async function open(options: OpenOptions = {}): Promise<TestGraphql> {
  const { createGraphql } = await import("../../../src/transport/graphql/server.ts");
  const testHub = openTestHub(options.hub);
  const hub: HubApi = options.wrapHub?.(testHub.hub) ?? testHub.hub;
  const graphql = createGraphql({ hub, config: testConfig(options.config) });
  const send = (query: string, { variables, operationName, headers }: AskOptions, accept: string) =>
    graphql.fetch(
      new Request(URL_OF_TESTS, {
        method: "POST",
        headers: { "content-type": "application/json", accept, ...headers },
        body: JSON.stringify({ query, variables, operationName }),
      }),
    );
  return {
    ...testHub,
    graphql,
    ask: async (query, options = {}) => await answerOf(await send(query, options, "application/json")),
    follow: async (query, options = {}) => new EventStreamReader(await send(query, options, "text/event-stream")),
    publish: async (...ids) => {
      for (const id of ids) await testHub.hub.publish(eventOf(id), { tenant: "default", source: "rest" });
      await testHub.hub.whenSettled();
    },
    [Symbol.asyncDispose]: async () => {
      await graphql[Symbol.asyncDispose]();
      await testHub[Symbol.asyncDispose]();
    },
  };
}

/** An answer from its response. */
export async function answerOf(response: Response): Promise<Answer> {
  const { data, errors = [] } = await response.json();
  return { status: response.status, headers: response.headers, data, errors };
}

/** An event with that id, as the REST contract has it. */
export function eventOf(id: string, members: Record<string, unknown> = {}): Record<string, unknown> {
  return { id, user_id: "ann", event_type: "purchase", amount: 12.5, ...members };
}

/** One server-sent event. */
export interface ServerSentEvent {
  /** `comment`, or what `event:` says. */
  readonly type: string;
  readonly data: string;
}

/** Reads server-sent events one by one. */
export class EventStreamReader {
  readonly response: Response;
  readonly #reader: ReadableStreamDefaultReader<string>;
  #text = "";

  constructor(response: Response) {
    this.response = response;
    this.#reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  }

  /** The next block, a comment or an event; `null` at the end. */
  async block(): Promise<ServerSentEvent | null> {
    let end: number;
    while ((end = this.#text.indexOf("\n\n")) < 0) {
      const { done, value } = await this.#reader.read();
      if (done) return null;
      this.#text += value;
    }
    const lines = this.#text.slice(0, end).split("\n");
    this.#text = this.#text.slice(end + 2);
    if (lines.every((line) => line.startsWith(":"))) return { type: "comment", data: "" };
    const field = (name: string): string =>
      lines.filter((line) => line.startsWith(`${name}:`)).map((line) => line.slice(name.length + 1).trim()).join("\n");
    return { type: field("event"), data: field("data") };
  }

  /** The next event that is no comment; `null` at the end. */
  async event(): Promise<ServerSentEvent | null> {
    while (true) {
      const block = await this.block();
      if (block?.type !== "comment") return block;
    }
  }

  /** The next result. */
  async result(): Promise<Pick<Answer, "data" | "errors">> {
    const event = await this.event();
    if (event?.type !== "next") throw new Error(`Expected a result, got ${event?.type ?? "the end"}`);
    const { data, errors = [] } = JSON.parse(event.data);
    return { data, errors };
  }

  /** The next `count` results. */
  async results(count: number): Promise<Pick<Answer, "data" | "errors">[]> {
    const results = [];
    for (let i = 0; i < count; i++) results.push(await this.result());
    return results;
  }

  /** Goes away. */
  async cancel(): Promise<void> {
    await this.#reader.cancel();
  }
}

/** The interface behind a real server. */
export interface Served extends TestGraphql {
  readonly port: number;
}

/** Opens the interface and a server around it. */
export async function serve(options: OpenOptions = {}): Promise<Served> {
  const hub = await open(options);
  const listen = { port: 0, hostname: "127.0.0.1", onListen: () => {} };
  const server = Deno.serve(listen, (request) => hub.graphql.fetch(request));
  return {
    ...hub,
    port: server.addr.port,
    [Symbol.asyncDispose]: async () => {
      await hub[Symbol.asyncDispose]();
      await server.shutdown();
    },
  };
}

/** After this a test has waited in vain. */
const PATIENCE_MS = 20_000;

/** Waits until a condition holds that other tasks bring about. */
export async function until(holds: () => boolean): Promise<void> {
  const end = performance.now() + PATIENCE_MS;
  while (!holds()) {
    if (performance.now() > end) throw new Error("Waited in vain");
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Large events of the stalled reader's test: together more than any kernel keeps for a socket. */
const STALL = { events: 2_000, batch: 50, bytes: 15_000 };

/**
 * Publishes to a subscriber behind a connection that is not read, until the hub ends it, and one event `late` more. Then
 * reads what there is until the connection breaks off or what came is the last, and answers with it.
 */
export async function stall(hub: Served, connection: Deno.Conn, isLast: (text: string) => boolean): Promise<string> {
  const properties = { text: "x".repeat(STALL.bytes) };
  for (let sent = 0; sent < STALL.events; sent += STALL.batch) {
    const inputs = Array.from({ length: STALL.batch }, (_, i) => eventOf(`e${sent + i}`, { properties }));
    await hub.hub.publishBatch(inputs, { tenant: "default", source: "rest" });
    await hub.hub.whenSettled();
  }
  await until(() => {
    hub.clock.advance(SUBSCRIBER_STALL_MS);
    void hub.hub.tick();
    return hub.hub.load.subscribers === 0;
  });
  await hub.publish("late");
  let text = "";
  const patience = setTimeout(() => connection.close(), PATIENCE_MS);
  try {
    for await (const chunk of connection.readable) {
      text += new TextDecoder("latin1").decode(chunk);
      if (isLast(text)) break;
    }
  } catch (error) {
    // A connection that breaks off says so.
    if (!(error instanceof Deno.errors.ConnectionReset)) throw error;
  } finally {
    clearTimeout(patience);
  }
  return text;
}
