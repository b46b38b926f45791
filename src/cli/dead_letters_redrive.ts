/** `dead-letters redrive` and `delete`: what is done to each of several dead letters, whatever becomes of the others. */
import { InvalidArgumentError } from "commander";
import { EVENT_BODY_BYTES_MAX, PAGE_EVENTS_DEFAULT } from "../limits.ts";
import { Client, HubProblem } from "./client.ts";
import type { DeadLettersAnswer, SentAnswer } from "./contract.ts";
import { type Patience, persist, retryable, type Tally } from "./delivery.ts";
import { Incomplete } from "./failure.ts";
import { Progress } from "./progress.ts";
import { report } from "./send.ts";
import { note, onInterrupt, print, shown } from "./terminal.ts";

/** What both commands are told. */
export interface OutputOptions {
  readonly url: string;
  readonly output: "table" | "json";
}

/** What `redrive` is told beside the ids. */
export interface RedriveOptions extends OutputOptions {
  readonly all: boolean;
  readonly file?: string;
  readonly retryFor: number;
}

/** The path of a letter. Throws for what a URL would take for another path. */
export function letterPath(id: string): string {
  if (["", ".", ".."].includes(id)) throw new InvalidArgumentError(`Expected the id of a dead letter, got "${id}".`);
  return `/dead-letters/${encodeURIComponent(id)}`;
}

/** Has the events of letters taken. One that is refused is told, and stays. */
export async function redrive(ids: readonly string[], options: RedriveOptions): Promise<void> {
  const { all, file } = options;
  if (all === ids.length > 0) throw new InvalidArgumentError("Name the dead letters, or give --all.");
  if (file !== undefined && ids.length !== 1) {
    throw new InvalidArgumentError("--file corrects one event: name its dead letter.");
  }
  ids.forEach(letterPath);
  const body = file === undefined ? undefined : await readCorrection(file);
  using interrupted = onInterrupt();
  using progress = new Progress(all ? null : ids.length);
  const patience = { forMs: options.retryFor, signal: interrupted };
  const client = new Client(options.url);
  const tally: Tally = { stored: 0, duplicates: 0, refused: 0 };
  let done = 0;
  try {
    for await (const id of all ? everything(client, patience) : ids) {
      if (interrupted.aborted) throw new Incomplete("Stopped. The others are as they were.");
      const outcome = await redriveOne(client, { id, body, patience, mayBeGone: all });
      if (typeof outcome === "string") tally[outcome]++;
      else {
        if (outcome !== null) tally.refused++;
        progress.clear();
        note(`${shown(id)}: ${outcome?.message ?? "gone meanwhile: its event was taken, or it was deleted"}`);
      }
      progress.show(++done);
    }
  } finally {
    progress.clear();
    report(tally, options.output);
  }
  if (tally.refused > 0) throw new Incomplete();
}

/** What became of a letter; `null` when it went meanwhile, by somebody else or by an attempt that seemed to fail. */
async function redriveOne(
  client: Client,
  letter: { id: string; body: string | undefined; patience: Patience; mayBeGone: boolean },
): Promise<"stored" | "duplicates" | HubProblem | null> {
  const { id, body, patience, mayBeGone } = letter;
  let attempts = 0;
  try {
    const { duplicate } = await repeated(client, patience, () => {
      attempts++;
      return client.json<SentAnswer>(`${letterPath(id)}/redrive`, {
        method: "POST",
        body,
        headers: body === undefined ? {} : { "content-type": "application/json" },
      });
    });
    return duplicate ? "duplicates" : "stored";
  } catch (error) {
    if (!(error instanceof HubProblem) || error.problem === null) throw error;
    return error.status === 404 && (mayBeGone || attempts > 1) ? null : error;
  }
}

/** The ids of all letters, newest first, a page at a time; those that are deleted meanwhile do not matter. */
async function* everything(client: Client, patience: Patience): AsyncGenerator<string> {
  let cursor: string | null = null;
  do {
    const query = { limit: String(PAGE_EVENTS_DEFAULT), cursor: cursor ?? undefined };
    const ask = () => client.json<DeadLettersAnswer>("/dead-letters", { query });
    const page: DeadLettersAnswer = await repeated(client, patience, ask);
    for (const { id } of page.dead_letters) yield id;
    cursor = page.next_cursor;
  } while (cursor !== null);
}

/** The answer of the first attempt that succeeds. */
async function repeated<T>(client: Client, patience: Patience, attempt: () => Promise<T>): Promise<T> {
  let answer: T;
  await persist(async () => {
    try {
      answer = await attempt();
      return null;
    } catch (error) {
      return retryable(error, client);
    }
  }, patience);
  return answer!;
}

/** Deletes letters. One that is not there is told. */
export async function remove(ids: readonly string[], { url, output }: OutputOptions): Promise<void> {
  const paths = ids.map(letterPath);
  const client = new Client(url);
  let deleted = 0;
  for (const [index, path] of paths.entries()) {
    try {
      await client.json(path, { method: "DELETE" });
      deleted++;
    } catch (error) {
      if (!(error instanceof HubProblem) || error.status !== 404 || error.problem === null) throw error;
      note(`${shown(ids[index]!)}: ${error.message}`);
    }
  }
  if (output === "json") print(JSON.stringify({ deleted, missing: ids.length - deleted }) + "\n");
  else note(`${deleted.toLocaleString("en")} deleted`);
  if (deleted < ids.length) throw new Incomplete();
}

/** The JSON of a corrected event, as it was written. Throws for what is none, before anything is sent. */
async function readCorrection(file: string): Promise<string> {
  const source = file === "-" ? Deno.stdin.readable : await openFile(file);
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    bytes += chunk.length;
    if (bytes > EVENT_BODY_BYTES_MAX) {
      throw new InvalidArgumentError(
        `--file: an event has at most ${EVENT_BODY_BYTES_MAX.toLocaleString("en")} bytes.`,
      );
    }
    chunks.push(chunk);
  }
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await new Blob(chunks).arrayBuffer());
    JSON.parse(text);
    return text;
  } catch (error) {
    throw new InvalidArgumentError(`--file: not JSON: ${error instanceof Error ? error.message : error}.`);
  }
}

async function openFile(path: string): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
  try {
    return (await Deno.open(path)).readable;
  } catch (error) {
    if (error instanceof Deno.errors.NotCapable) {
      throw new InvalidArgumentError(
        `--file: only the network is permitted here; use standard input: --file - < ${path}`,
      );
    }
    throw new InvalidArgumentError(`--file: cannot read ${path}: ${error instanceof Error ? error.message : error}.`);
  }
}
