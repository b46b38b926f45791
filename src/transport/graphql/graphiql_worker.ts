/**
 * The thread that makes GraphiQL's page, and ends. The page and the script that makes it have nine megabytes each: made
 * where requests are served, they would hold them up for half a second and stay in memory for good.
 */
import { type GraphiqlPage, loadRenderer } from "./graphiql.ts";

const { renderGraphiQL } = await loadRenderer();
const html = renderGraphiQL({ endpoint: "/graphql", title: "Event Hub GraphiQL" });
const gzip = await new Response(new Blob([html]).stream().pipeThrough(new CompressionStream("gzip"))).bytes();
const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", gzip));
const page: GraphiqlPage = { gzip, etag: `"${digest.toHex().slice(0, 32)}"` };
self.postMessage(page, [gzip.buffer]);
self.close();
