/** One HTTP request, and what every answer to it carries. */
import { requestIdOf } from "../request_id.ts";
import { pathOf, queryOf } from "../target.ts";

/** The media type of answers, unless one of these is named. */
export const JSON_TYPE = "application/json";
/** Errors (RFC 9457). */
export const PROBLEM_TYPE = "application/problem+json";
/** Tables (RFC 4180). */
export const CSV_TYPE = "text/csv";
/** Streams (WHATWG HTML, section 9.2). */
export const SSE_TYPE = "text/event-stream";

/** What an answer may have beside its body. */
export interface AnswerOptions {
  readonly type?: string;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

const PLAIN_JSON = { headers: { "content-type": JSON_TYPE } };

/** A request and its id. */
export class Exchange {
  readonly request: Request;
  readonly requestId: string;
  readonly #shared: Readonly<Record<string, string>> | null;

  /** `shared` are headers of every answer to this request. */
  constructor(request: Request, shared: Readonly<Record<string, string>> | null = null) {
    this.request = request;
    this.requestId = requestIdOf(request);
    this.#shared = shared;
  }

  /** The path as it was sent, still percent-encoded. */
  get path(): string {
    return pathOf(this.request.url);
  }

  /** What stands behind the question mark, still percent-encoded. */
  get query(): string {
    return queryOf(this.request.url);
  }

  /** An answer of JSON text unless the options say otherwise. */
  answer(body: BodyInit | null, options?: AnswerOptions): Response {
    // Deno answers fastest what is made with a type and nothing else; setting the others afterwards keeps most of that.
    const response = options === undefined ? new Response(body, PLAIN_JSON) : new Response(body, {
      status: options.status ?? 200,
      headers: { "content-type": options.type ?? JSON_TYPE, ...options.headers },
    });
    const { headers } = response;
    headers.set("x-request-id", this.requestId);
    for (const name in this.#shared) headers.append(name, this.#shared[name]!);
    return response;
  }
}
