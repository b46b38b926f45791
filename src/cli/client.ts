/** The hub as the command line sees it: one small HTTP client. */
import { within } from "../worker.ts";
import type { BatchAnswer, Problem } from "./contract.ts";
import { shown } from "./terminal.ts";

/** Where a hub listens when nothing says otherwise. */
export const DEFAULT_URL = "http://127.0.0.1:8000";

/** A hub that does not answer at all, or whose connection broke: the outcome of the request is unknown. */
export class HubUnreachable extends Error {
  override readonly name = "HubUnreachable";

  constructor(url: string, cause: unknown) {
    super(
      `Cannot reach a hub at ${url}: ${reason(cause)}. Start one with "deno task dev", or name another with --url.`,
      { cause },
    );
  }
}

/** An answer that is an error. Its message is ready to be shown. */
export class HubProblem extends Error {
  override readonly name = "HubProblem";
  readonly status: number;
  readonly problem: Problem | null;
  /** Whether the same request, with the same ids, can succeed later. */
  readonly retryable: boolean;
  /** How long the hub asks to wait. */
  readonly retryAfterMs: number | undefined;

  constructor(url: string, response: Response, problem: Problem | null) {
    super(
      problem ? explain(problem) : `The server at ${url} answered ${response.status}, and not as an Event Hub does`,
    );
    this.status = response.status;
    this.problem = problem;
    this.retryable = [408, 429, 503, 504].includes(response.status);
    const seconds = Number(response.headers.get("retry-after"));
    this.retryAfterMs = seconds > 0 && Number.isFinite(seconds) ? seconds * 1_000 : undefined;
  }
}

/** A query: a missing value is left out, a list is repeated. */
export type Query = Record<string, string | readonly string[] | undefined>;

/** What a request may say beside its path. */
export interface RequestOptions {
  readonly method?: string;
  readonly query?: Query;
  readonly headers?: Record<string, string>;
  readonly body?: string | Uint8Array<ArrayBuffer>;
  /** Ends the exchange; there is no deadline then. */
  readonly signal?: AbortSignal;
  /** Deadline of the whole exchange; `null` for none. */
  readonly timeoutMs?: number | null;
}

/** Longer than the hub's own deadline, so that it is the hub that says what happened. */
const REQUEST_TIMEOUT_MS = 60_000;

/** Speaks to one hub. Every method throws {@link HubUnreachable} or {@link HubProblem}, or what the signal says. */
export class Client {
  readonly url: string;
  /** Whether this hub has ever answered: what fails before that is no hiccup but a wrong address. */
  reached = false;

  /** `url` is the address of the hub, as in {@link DEFAULT_URL}. */
  constructor(url: string) {
    this.url = url.replace(/\/+$/, "");
  }

  /** The answer of a route, with any status. */
  async request(path: string, options: RequestOptions = {}): Promise<Response> {
    const { method = "GET", query = {}, headers = {}, body, timeoutMs = REQUEST_TIMEOUT_MS } = options;
    const url = new URL(this.url + path);
    for (const [name, value] of Object.entries(query)) {
      for (const each of typeof value === "string" ? [value] : value ?? []) url.searchParams.append(name, each);
    }
    const signal = options.signal ?? (timeoutMs === null ? undefined : AbortSignal.timeout(timeoutMs));
    try {
      const response = await fetch(url, { method, headers, body, signal, redirect: "error" });
      this.reached = true;
      return response;
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason;
      throw new HubUnreachable(this.url, error);
    }
  }

  /** The answer of a route that succeeded. */
  async ok(path: string, options: RequestOptions = {}): Promise<Response> {
    const response = await this.request(path, options);
    if (!response.ok) throw await this.problem(response);
    return response;
  }

  /** The JSON a route answers with, when it succeeded. */
  async json<T>(path: string, options: RequestOptions = {}): Promise<T> {
    return await this.#read<T>(await this.ok(path, options));
  }

  /**
   * Sends lines of NDJSON. A batch of which some or all events were refused is an answer, not an error; the results of
   * stored events are left out of it.
   */
  async sendBatch(lines: readonly string[], options: { gzip: boolean }): Promise<BatchAnswer> {
    const text = lines.join("\n") + "\n";
    const headers: Record<string, string> = { "content-type": "application/x-ndjson" };
    if (options.gzip) headers["content-encoding"] = "gzip";
    const response = await this.request("/events/batch", {
      method: "POST",
      query: { verbose: "false" },
      headers,
      body: options.gzip ? await compress(text) : text,
    });
    if (mediaType(response) === "application/json") return await this.#read<BatchAnswer>(response);
    // When none was taken the answer is a problem, which has the results as members unless it is one of the request.
    const failure = await this.problem(response);
    if (failure.problem !== null && "results" in failure.problem) return failure.problem as Problem & BatchAnswer;
    throw failure;
  }

  /** Reads an error answer. */
  async problem(response: Response): Promise<HubProblem> {
    if (mediaType(response) !== "application/problem+json") {
      await response.body?.cancel();
      return new HubProblem(this.url, response, null);
    }
    return new HubProblem(this.url, response, await this.#read<Problem>(response));
  }

  async #read<T>(response: Response): Promise<T> {
    try {
      return await within(REQUEST_TIMEOUT_MS, "The answer", response.json()) as T;
    } catch (error) {
      throw new HubUnreachable(this.url, error);
    }
  }
}

/** A problem in plain sentences, each faulty field on a line of its own. */
export function explain(problem: Problem): string {
  const { title, detail, code, errors = [] } = problem;
  // With faulty fields the detail only repeats the first of them.
  const lines = [errors.length > 0 ? `${title}:` : detail ?? title];
  for (const error of errors) lines.push(`  ${error.pointer || error.parameter || "the event"}: ${error.detail}`);
  if (code === "internal") lines.push(`  The hub's log tells more under the request id ${problem.request_id}.`);
  return lines.map(shown).join("\n");
}

function mediaType(response: Response): string {
  return (response.headers.get("content-type") ?? "").split(";")[0]!.trim().toLowerCase();
}

async function compress(text: string): Promise<Uint8Array<ArrayBuffer>> {
  const stream = new Blob([text]).stream().pipeThrough(new CompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The innermost cause says what happened ("Connection refused"); what stands before it repeats the address. */
function reason(cause: unknown): string {
  let error = cause;
  while (error instanceof Error && error.cause instanceof Error) error = error.cause;
  const text = error instanceof Error ? error.message : String(error);
  return (text.split(": ").at(-1) ?? text).replace(/ \(os error \d+\)/, "").replace(/\.$/, "");
}
