/**
 * The parts of what a request asks for, out of the text of its URL: whatever a client sends as `Host` stands in there, and
 * `new URL` throws at some of it.
 */
import { SHOWN_TARGET_CHARACTERS_MAX } from "../limits.ts";

/** The path as it was sent, still percent-encoded. */
export function pathOf(url: string): string {
  const start = pathStart(url);
  const end = url.indexOf("?", start);
  return end < 0 ? url.slice(start) : url.slice(start, end);
}

/** A path or a method as errors and logs repeat it: cut when it is very long. */
export function shown(part: string): string {
  return part.length <= SHOWN_TARGET_CHARACTERS_MAX ? part : part.slice(0, SHOWN_TARGET_CHARACTERS_MAX) + "…";
}

/** What stands behind the question mark, still percent-encoded. */
export function queryOf(url: string): string {
  const mark = url.indexOf("?", pathStart(url));
  return mark < 0 ? "" : url.slice(mark + 1);
}

function pathStart(url: string): number {
  const start = url.indexOf("/", url.indexOf("://") + 3);
  return start < 0 ? url.length : start;
}
