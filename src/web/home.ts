/** The first page: where everything is. */
import { htmlPage, type WebPage } from "./page.ts";

const LINKS = [
  ["docs", "the REST interface, to read and to try"],
  ["graphql", "GraphQL, with a playground"],
  ["openapi.json", "the REST interface as OpenAPI 3.1"],
  ["schema.graphql", "the GraphQL schema"],
  ["protos/eventhub/v1/eventhub.proto", "the gRPC interface"],
  ["metrics", "metrics for Prometheus"],
  ["readyz?verbose", "whether all parts are well"],
  ["version", "what is running"],
] as const;

const BODY = `<style>
body { font: 16px/1.5 system-ui, sans-serif; max-width: 40rem; margin: 3rem auto; padding: 0 1rem; color: #1c2733 }
code { background: #eef1f4; padding: .1em .3em; border-radius: 3px }
pre { background: #eef1f4; padding: 1rem; border-radius: 6px; overflow-x: auto }
@media (prefers-color-scheme: dark) {
  body { background: #14191f; color: #dde4ea } code, pre { background: #222a33 } a { color: #7db8ff }
}
</style>
<h1>Event Hub</h1>
<p>Takes business events, stores each one durably, counts it exactly once, and hands it out live.</p>
<ul>
${LINKS.map(([path, about]) => `<li><a href="${path}">/${path}</a>: ${about}</li>`).join("\n")}
</ul>
<pre>curl -d '{"user_id":"u1","event_type":"purchase","amount":12.5}' \\
  -H 'content-type: application/json' http://127.0.0.1:8000/events
curl -N http://127.0.0.1:8000/events/stream?after=earliest</pre>`;

/** The first page by path. */
export const homePages: Readonly<Record<string, WebPage>> = {
  "/": htmlPage({ title: "Event Hub", body: BODY }),
};
