/** What the hub logs, for tests that wait for a line of it. */
import { configure, type LogRecord, reset } from "@logtape/logtape";

/** The lines logged since it was opened. */
export interface RecordedLogs extends AsyncDisposable {
  readonly lines: readonly string[];
  /** Resolves when so many lines have matched. */
  whenLogged(pattern: RegExp, count?: number): Promise<void>;
}

/** Records warnings and errors until it is disposed. */
export async function recordLogs(): Promise<RecordedLogs> {
  const lines: string[] = [];
  const waiting = new Set<() => void>();
  await configure({
    reset: true,
    sinks: {
      lines: (record: LogRecord) => {
        lines.push(record.message.map(String).join(""));
        for (const look of waiting) look();
      },
    },
    loggers: [
      { category: "eventhub", lowestLevel: "warning", sinks: ["lines"] },
      { category: ["logtape", "meta"], lowestLevel: "fatal" },
    ],
  });
  return {
    lines,
    whenLogged: (pattern, count = 1) =>
      new Promise((resolve) => {
        const look = () => {
          if (lines.filter((line) => pattern.test(line)).length < count) return;
          waiting.delete(look);
          resolve();
        };
        waiting.add(look);
        look();
      }),
    [Symbol.asyncDispose]: () => reset(),
  };
}
