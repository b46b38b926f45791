/** The hub's description of itself: OpenAPI, GraphQL schema, protobuf files, and pages for people. */
import { gzipSync } from "node:zlib";
import { checkOf } from "../../cursor.ts";
import { type Exchange, JSON_TYPE } from "./exchange.ts";
import type { Page, Route } from "./route.ts";

/** What there is to show. */
export interface Documents {
  /** The GraphQL schema in SDL. */
  readonly schema: string;
  /** Protobuf files by their path below `/protos/`. */
  readonly protos: Readonly<Record<string, string>>;
  /** Pages and their assets by path. */
  readonly pages: Readonly<Record<string, Page>>;
}

const PLAIN = "text/plain; charset=utf-8";

/** The routes of documents. `describe` gives the OpenAPI document as JSON text. */
export function documentRoutes(documents: Documents, describe: () => Promise<string>): Route[] {
  let description: Promise<Document> | undefined;
  return [
    route("/openapi.json", { id: "getOpenApi", summary: "This description", type: JSON_TYPE }, () => {
      description ??= describe().then((text) => new Document({ type: JSON_TYPE, text }));
      return description;
    }),
    ...fixed("/schema.graphql", "getGraphqlSchema", {
      title: "The GraphQL schema",
      type: PLAIN,
      text: documents.schema,
    }),
    ...Object.entries(documents.protos).flatMap(([path, text]) =>
      fixed(`/protos/${path}`, `getProto_${word(path)}`, { title: `The protobuf file ${path}`, type: PLAIN, text })
    ),
    ...Object.entries(documents.pages).flatMap(([path, page]) => fixed(path, `getPage_${word(path)}`, page)),
  ];
}

function fixed(path: string, id: string, page: Page): Route[] {
  const document = new Document(page);
  return [route(path, { id, summary: page.title, type: page.type }, () => document)];
}

function route(
  path: string,
  about: { id: string; summary: string; type: string },
  document: () => Document | Promise<Document>,
): Route {
  const type = about.type.split(";")[0]!;
  return {
    method: "GET",
    path,
    operation: {
      id: about.id,
      tag: "documentation",
      summary: about.summary,
      answers: {
        200: { description: about.summary, content: { [type]: null } },
        304: { description: "`If-None-Match` names the current version" },
      },
      errors: [],
    },
    handle: async (exchange) => (await document()).answer(exchange),
  };
}

function word(path: string): string {
  return path.replaceAll(/[^A-Za-z0-9]+/g, "_").replaceAll(/^_|_$/g, "") || "root";
}

/** A text that never changes while the process runs: hashed and compressed once, when it is first asked for. */
class Document {
  readonly #page: Pick<Page, "type" | "text" | "headers">;
  #etag: string | null = null;
  #gzip: Uint8Array<ArrayBuffer> | null = null;

  constructor(page: Pick<Page, "type" | "text" | "headers">) {
    this.#page = page;
  }

  answer(exchange: Exchange): Response {
    const { type, text } = this.#page;
    const { headers: asked } = exchange.request;
    this.#etag ??= `W/"${text.length.toString(36)}-${checkOf(text)}"`;
    const headers: Record<string, string> = {
      ...this.#page.headers,
      etag: this.#etag,
      vary: "Accept-Encoding",
      "cache-control": "no-cache",
      "x-content-type-options": "nosniff",
    };
    if (asked.get("if-none-match")?.includes(this.#etag)) return exchange.answer(null, { type, status: 304, headers });
    if (!/\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))/i.test(asked.get("accept-encoding") ?? "")) {
      return exchange.answer(text, { type, headers });
    }
    this.#gzip ??= new Uint8Array(gzipSync(text));
    return exchange.answer(this.#gzip, { type, headers: { ...headers, "content-encoding": "gzip" } });
  }
}
