/** The answer to a batch: counts, results, and the status that sums them up. */
import { HubError } from "../../errors.ts";
import type { Batch, BatchResult } from "./batch.ts";
import { problemHeaders, problemOf } from "./errors.ts";
import { type Exchange, PROBLEM_TYPE } from "./exchange.ts";

/** How many events came to which end; the four sum to the number of events. */
interface Counts {
  /** Newly stored. */
  accepted: number;
  duplicates: number;
  /** Refused: the same again would be refused again. */
  rejected: number;
  /** Not known to be stored: to be sent again with the same id. */
  retryable: number;
}

/**
 * 200 when every event is stored or a duplicate, 207 when some are; when none was taken, 503 if some can be retried,
 * otherwise 422. Those two are problems (RFC 9457) that have the counts and results as members.
 */
export function answerBatch(exchange: Exchange, batch: Batch, options: { verbose: boolean }): Response {
  const counts = countResults(batch.results);
  const results = resultsJson(batch, options.verbose);
  const members = `"accepted":${counts.accepted},"duplicates":${counts.duplicates},"rejected":${counts.rejected},` +
    `"retryable":${counts.retryable},"results":[${results}]}`;
  const failed = counts.rejected + counts.retryable;
  if (failed === 0) return exchange.answer("{" + members);
  if (failed < batch.results.length) return exchange.answer("{" + members, { status: 207 });
  const error = counts.retryable === 0
    ? new HubError("invalid_argument", "None of the events was taken; see the results")
    : new HubError("unavailable", "None of the events is known to be stored: retry with the ids in the results");
  const problem = problemOf(exchange, error);
  return exchange.answer(JSON.stringify(problem).slice(0, -1) + "," + members, {
    type: PROBLEM_TYPE,
    status: problem.status,
    headers: problemHeaders(error),
  });
}

function countResults(results: readonly BatchResult[]): Counts {
  const counts: Counts = { accepted: 0, duplicates: 0, rejected: 0, retryable: 0 };
  for (const { status } of results) {
    if (status === "stored") counts.accepted += 1;
    else if (status === "duplicate") counts.duplicates += 1;
    else if (status === "unavailable" || status === "pending") counts.retryable += 1;
    else counts.rejected += 1;
  }
  return counts;
}

/** Ids of events that were taken hold no character that JSON escapes. */
function resultsJson({ results, lines }: Batch, verbose: boolean): string {
  let text = "";
  for (let index = 0; index < results.length; index++) {
    const result = results[index]!;
    if (result.status === "pending" || (!verbose && result.status === "stored")) continue;
    if (text !== "") text += ",";
    text += `{"index":${index},`;
    if (lines !== null) text += `"line":${lines[index]},`;
    text += "errors" in result
      ? `"id":${JSON.stringify(result.id)},"status":"${result.status}","errors":${JSON.stringify(result.errors)}}`
      : `"id":"${result.id}","status":"${result.status}"}`;
  }
  return text;
}
