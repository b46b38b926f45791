/** GraphiQL: one page with everything in it, for browsers, without any other address. */

/** The page, compressed, and the name of its content. */
interface Page {
  readonly gzip: Uint8Array<ArrayBuffer>;
  readonly etag: string;
}

/**
 * Enforces that nothing is loaded from anywhere else, whatever the page may hold. GraphiQL's own script and styles are
 * inline, its editor makes workers from blobs.
 */
const CONTENT_SECURITY_POLICY = "default-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; frame-ancestors 'none'";

/** Nine megabytes, so it is loaded and compressed when the first browser asks. */
let page: Promise<Page> | null = null;

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

async function makePage(): Promise<Page> {
  const { renderGraphiQL } = await import("@graphql-yoga/render-graphiql");
  const html = new TextEncoder().encode(renderGraphiQL({ endpoint: "/graphql", title: "Event Hub GraphiQL" }));
  const gzip = await new Response(new Blob([html]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", gzip));
  return { gzip, etag: `"${digest.toHex().slice(0, 32)}"` };
}
