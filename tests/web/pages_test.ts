/** Pages for people: whole, and without any outside address. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { pages } from "../../src/web/pages.ts";

const html = Object.entries(pages).filter(([, page]) => page.type.startsWith("text/html"));

Deno.test("web: every page asks this hub alone, and the browser is told so", () => {
  assertEquals(html.map(([path]) => path).sort(), ["/", "/docs"]);
  for (const [path, page] of html) {
    const policy = page.headers?.["content-security-policy"] ?? "";
    assertStringIncludes(policy, "default-src 'none'", path);
    assertEquals(policy.match(/https?:|\*/g), null, path);
    const addresses = [...page.text.matchAll(/(?:src|href)="([^"]*)"/g)].map((match) => match[1]!);
    assertEquals(addresses.filter((address) => /^(?:[a-z]+:)?\/\//.test(address)), [], path);
  }
});

Deno.test("web: what the documentation page loads is there", () => {
  const { text } = pages["/docs"]!;
  for (const match of text.matchAll(/(?:src|href)="(docs\/[^"]*)"/g)) {
    assert(`/${match[1]}` in pages, match[1]);
  }
  assertStringIncludes(pages["/docs/start.js"]!.text, 'url: "openapi.json"');
  // Without this Swagger UI asks validator.swagger.io about every description it shows.
  assertStringIncludes(pages["/docs/start.js"]!.text, "validatorUrl: null");
  assert(pages["/docs/swagger-ui-bundle.js"]!.text.length > 1_000_000);
  assertEquals(/@import|url\((?!"?data:)/.test(pages["/docs/swagger-ui.css"]!.text), false);
});
