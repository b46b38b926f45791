/** The table of a benchmark run, and its JSON. */

/** One line: what was measured, of the hub and of the peer beside it. Each figure is the median of its runs. */
export interface Row {
  readonly name: string;
  readonly unit: string;
  readonly hub: number;
  readonly peerName?: string;
  readonly peer?: number;
  /** hub / peer, when higher is better. */
  readonly ratio?: number;
  readonly p99Ms?: number;
  readonly peerP99Ms?: number;
  /** What is asked of it, and whether it is met. */
  readonly target?: string;
  readonly met?: boolean;
  readonly note?: string;
  /** The single runs. */
  readonly runs?: readonly unknown[];
}

/** The middle value; of an even number of values the lower of the two in the middle. */
export function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor((values.length - 1) / 2)] ?? NaN;
}

/** Prints the rows under each other, columns aligned. */
export function printTable(rows: readonly Row[]): void {
  const head = ["what", "hub", "peer", "ratio", "p99 ms", "peer p99", "asked", "met", "note"];
  const cells = rows.map((row) => [
    row.name,
    `${short(row.hub)} ${row.unit}`,
    row.peer === undefined ? "" : `${short(row.peer)} ${row.peerName ?? ""}`,
    row.ratio === undefined ? "" : row.ratio.toFixed(2),
    short(row.p99Ms),
    short(row.peerP99Ms),
    row.target ?? "",
    row.met === undefined ? "" : row.met ? "yes" : "NO",
    row.note ?? "",
  ]);
  const widths = head.map((title, column) => Math.max(title.length, ...cells.map((line) => line[column]!.length)));
  for (const line of [head, widths.map((width) => "-".repeat(width)), ...cells]) {
    console.log(line.map((cell, column) => cell.padEnd(widths[column]!)).join("  ").trimEnd());
  }
}

function short(value: number | undefined): string {
  if (value === undefined) return "";
  if (Math.abs(value) >= 1_000) return Math.round(value).toLocaleString("en-US");
  return String(Math.round(value * 100) / 100);
}

/** Writes the rows beside what they were measured on; the path of the file. */
export async function writeResults(rows: readonly Row[], settings: Record<string, unknown>): Promise<string> {
  const folder = new URL("results/", import.meta.url);
  await Deno.mkdir(folder, { recursive: true });
  const at = new Date().toISOString();
  const machine = {
    cores: navigator.hardwareConcurrency,
    memoryGib: Math.round(Deno.systemMemoryInfo().total / 2 ** 30),
    system: `${Deno.build.os} ${Deno.osRelease()}`,
    deno: Deno.version.deno,
  };
  const path = new URL(`${at.replaceAll(/[:.]/g, "-")}.json`, folder);
  await Deno.writeTextFile(path, JSON.stringify({ at, machine, settings, rows }, null, 2) + "\n");
  return path.pathname;
}
