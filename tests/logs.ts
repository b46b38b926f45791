/** What the hub logs, for tests that wait for a line of it. */
import { configure, type LogRecord, reset } from "@logtape/logtape";

/** The lines logged since it was opened. */
export interface RecordedLogs extends AsyncDisposable {
  readonly lines: readonly string[];
  /** The same with everything that belongs to them. */
  readonly records: readonly LogRecord[];
  /** Resolves when so many lines have matched. */
  whenLogged(pattern: RegExp, count?: number): Promise<void>;
}

/** Records what is logged, but for what only developers want to know, until it is disposed. */
export async function recordLogs(): Promise<RecordedLogs> {
  const lines: string[] = [];
  const records: LogRecord[] = [];
  const waiting = new Set<() => void>();
  await configure({
    reset: true,
    sinks: {
      lines: (record: LogRecord) => {
        lines.push(record.message.map(String).join(""));
        records.push(record);
        for (const look of waiting) look();
      },
    },
    loggers: [
      { category: "eventhub", lowestLevel: "info", sinks: ["lines"] },
      { category: ["logtape", "meta"], lowestLevel: "fatal" },
    ],
  });
  return {
    lines,
    records,
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
