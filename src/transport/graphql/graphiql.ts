/** GraphiQL: one page with everything in it, for browsers, without any other address. */

/** The page, compressed, and the name of its content. */
export interface GraphiqlPage {
  readonly gzip: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

/**
 * Enforces that nothing is loaded from anywhere else, whatever the page may hold. GraphiQL's own script and styles are
 * inline, its editor makes workers from blobs.
 */
const CONTENT_SECURITY_POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; frame-ancestors 'none'";

/**
 * What makes the page. It is loaded in its own thread alone, and named here: what a Worker imports is not known when the
 * hub starts, so that Deno would download it when the first browser asks.
 */
export const loadRenderer = () => import("@graphql-yoga/render-graphiql");

/** Made when the first browser asks. */
let page: Promise<GraphiqlPage> | null = null;

/** Whether a request is a browser's for a page. */
export function wantsPage(request: Request): boolean {
  return request.method === "GET" && /\btext\/html\b/i.test(request.headers.get("accept") ?? "");
}

/** The page, or 304 for a browser that has it. */
export async function graphiqlPage(request: Request): Promise<Response> {
  const { gzip, etag } = await (page ??= makePage());
  const headers = new Headers({
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cache-control": "no-cache",
    "vary": "accept, accept-encoding",
    "referrer-policy": "no-referrer",
    etag,
  });
  const known = (request.headers.get("if-none-match") ?? "").split(",").map((tag) => tag.trim().replace(/^W\//, ""));
  if (known.includes(etag)) return new Response(null, { status: 304, headers });
  if (!/\bgzip\b/i.test(request.headers.get("accept-encoding") ?? "")) {
    return new Response(new Blob([gzip]).stream().pipeThrough(new DecompressionStream("gzip")), { headers });
  }
  headers.set("content-encoding", "gzip");
  return new Response(gzip, { headers });
}

/** The page of a thread of its own; when that fails, the next request tries again. */
function makePage(): Promise<GraphiqlPage> {
  return new Promise((resolve, reject) => {
    const url = new URL("./graphiql_worker.ts", import.meta.url);
    const worker = new Worker(url, { type: "module", name: "graphiql" });
    worker.onmessage = ({ data }) => {
      worker.terminate();
      resolve(data);
    };
    worker.onerror = (event) => {
      event.preventDefault();
      worker.terminate();
      page = null;
      reject(new Error(`Cannot make the page of GraphiQL: ${event.message}`));
    };
  });
}
