/** The id that an HTTP request carries through the log and its answer. */
import { REQUEST_ID_CHARACTERS_MAX } from "../limits.ts";

const REQUEST_ID = new RegExp(`^[A-Za-z0-9._:@~+=/-]{1,${REQUEST_ID_CHARACTERS_MAX}}$`);
/** Request ids need to differ, not to be secret: a word for the thread and a number for the request. */
const PREFIX = crypto.randomUUID().slice(0, 8) + "-";
let last = 0;

/** The `X-Request-Id` of a request; one that is missing, too long or not plain text is replaced. */
export function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id");
  return given !== null && REQUEST_ID.test(given) ? given : PREFIX + (++last).toString(36);
}
