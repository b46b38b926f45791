/** The documentation of the REST interface: Swagger UI, served from here; it asks no other address for anything. */
import bundle from "swagger-ui-dist/swagger-ui-bundle.js" with { type: "text" };
import style from "swagger-ui-dist/swagger-ui.css" with { type: "text" };
import type { WebPage } from "./page.ts";
import { htmlPage } from "./page.ts";

const START = `SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
});
`;

const BODY = `<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>`;

/** Swagger UI and its parts by path. */
export const docsPages: Readonly<Record<string, WebPage>> = {
  "/docs": htmlPage({ title: "Event Hub: REST interface", style: "docs/swagger-ui.css", body: BODY }),
  "/docs/swagger-ui-bundle.js": script("The script of the documentation page", bundle),
  "/docs/start.js": script("Starts the documentation page", START),
  "/docs/swagger-ui.css": {
    title: "The style of the documentation page",
    type: "text/css; charset=utf-8",
    text: style,
  },
};

function script(title: string, text: string): WebPage {
  return { title, type: "text/javascript; charset=utf-8", text };
}
