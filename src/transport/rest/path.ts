/** What stands in the path of a request, and the path of what comes next. */
import { HubError } from "../../errors.ts";
import type { Exchange } from "./exchange.ts";

/** The id in the second part of the path, decoded; the first part may be percent-encoded too. Throws `malformed`. */
export function idInPath(exchange: Exchange): string {
  try {
    return decodeURIComponent(exchange.path.split("/", 3)[2] ?? "");
  } catch (cause) {
    throw new HubError("malformed", "The id in the path is not percent-encoded UTF-8", { cause });
  }
}

/** The `Link` to the page behind a cursor, as headers; none at the end. Relative, so that it is right behind every proxy. */
export function nextPageLink(exchange: Exchange, cursor: string | null): Record<string, string> {
  if (cursor === null) return {};
  const query = new URLSearchParams(exchange.query);
  query.set("cursor", cursor);
  return { link: `<${exchange.path}?${query}>; rel="next"` };
}
