/** How the cases read a log: to its end, or following it. */
import { assert } from "@std/assert";
import type { EventStream, LogEntry, Position } from "../../../src/stream.ts";

/** What is read, and in which pages. */
export interface ReadOptions {
  readonly after: Position;
  readonly limit?: number;
  readonly tenant?: string;
}

/** Reads until there is nothing more. Fails where a page breaks the rules of the port. */
export async function readAll(stream: EventStream, options: ReadOptions): Promise<LogEntry[]> {
  const { limit = 100, tenant } = options;
  const all: LogEntry[] = [];
  let after = options.after;
  for (;;) {
    const page = await stream.read({ after, limit, tenant });
    assert(page.entries.length <= limit, `${page.entries.length} entries in a page of ${limit}`);
    assert(page.position >= after, `the position went back from ${after} to ${page.position}`);
    const last = page.entries.at(-1);
    assert(last === undefined || page.position >= last.position, "a page ends before its last entry");
    assert(page.caughtUp || page.position > after, "a page that is not the end did not go on");
    all.push(...page.entries);
    after = page.position;
    if (page.caughtUp) return all;
  }
}

/** Reads and waits until there were so many entries. */
export async function follow(stream: EventStream, options: ReadOptions & { count: number }): Promise<LogEntry[]> {
  const { count, limit = 100, tenant } = options;
  const all: LogEntry[] = [];
  let after = options.after;
  let committed = Promise.withResolvers<void>();
  const unwatch = stream.watch(() => committed.resolve());
  try {
    while (all.length < count) {
      // Made before the read, so that a commit during the read is not missed.
      committed = Promise.withResolvers();
      const page = await stream.read({ after, limit, tenant });
      all.push(...page.entries);
      after = page.position;
      if (page.caughtUp && all.length < count) await committed.promise;
    }
  } finally {
    unwatch();
  }
  return all;
}

/** The ids of entries, in order. */
export function idsIn(entries: readonly LogEntry[]): string[] {
  return entries.map((entry) => entry.event.id);
}

/** The place a word or a time leads to. */
export async function placeAt(stream: EventStream, at: "latest" | "earliest"): Promise<Position> {
  return (await stream.open("default", { at })).position;
}
