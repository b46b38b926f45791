/** Which pages of other origins may use the hub (Fetch standard, "CORS protocol"). */

/** The origins that are allowed; `*` is any. */
export class Cors {
  readonly #origins: ReadonlySet<string>;

  constructor(origins: readonly string[]) {
    this.#origins = new Set(origins);
  }

  /** Headers of an answer to that request; `null` for none. */
  headers(request: Request): Record<string, string> | null {
    if (this.#origins.size === 0) return null;
    const origin = request.headers.get("origin");
    if (origin === null) return null;
    if (!this.#knows(origin)) return { vary: "Origin" };
    return {
      vary: "Origin",
      "access-control-allow-origin": origin,
      "access-control-expose-headers": "X-Request-Id, X-Stream-Cursor, Link, Retry-After, Allow",
    };
  }

  /** Headers of the answer to a preflight request. */
  preflight(request: Request, allow: string): Record<string, string> {
    const headers = this.headers(request);
    if (headers === null || !("access-control-allow-origin" in headers)) return headers ?? {};
    return {
      ...headers,
      "access-control-allow-methods": allow,
      "access-control-allow-headers": request.headers.get("access-control-request-headers") ?? "Content-Type",
      "access-control-max-age": "600",
    };
  }

  /** Whether a request may be served at all: it comes from no page, from one of the hub itself, or from a known one. */
  allows(request: Request): boolean {
    const origin = request.headers.get("origin");
    if (origin === null || this.#knows(origin)) return true;
    return URL.canParse(origin) && new URL(origin).host === request.headers.get("host");
  }

  #knows(origin: string): boolean {
    return this.#origins.has(origin) || this.#origins.has("*");
  }
}
