/** Flags of a soak run, and its one line of figures. */

/** Reads `--name 5` and `--name=5` for the names of the defaults; anything else is refused. */
export function readNumbers<T extends Record<string, number>>(args: readonly string[], defaults: T): T {
  const values: Record<string, number> = { ...defaults };
  const words = args.flatMap((word) => word.startsWith("--") ? word.split("=", 2) : [word]);
  for (let index = 0; index < words.length; index += 2) {
    const name = words[index]!.replace(/^--/, "");
    const value = Number(words[index + 1]);
    if (!words[index]!.startsWith("--") || !(name in defaults) || !Number.isFinite(value)) {
      const known = Object.entries(defaults).map(([key, standard]) => `--${key} ${standard}`).join(" ");
      throw new Error(`Cannot read ${words[index]} ${words[index + 1] ?? ""} as a flag; known are: ${known}`);
    }
    values[name] = value;
  }
  return values as T;
}

/** What a run found. It passed when `violations` is empty. */
export interface Report {
  readonly name: string;
  readonly figures: Record<string, number | string>;
  readonly violations: readonly string[];
}

/** Prints the figures of each run in one line and each violation in a line of its own; the exit code is 1 when there is any. */
export function conclude(...reports: readonly Report[]): never {
  for (const { name, figures, violations } of reports) {
    const words = Object.entries(figures).map(([key, value]) => `${key}=${rounded(value)}`).join(" ");
    console.log(`${name}: ${violations.length === 0 ? "ok" : "VIOLATED"} ${words}`);
    for (const violation of violations) console.log(`  ${violation}`);
  }
  Deno.exit(reports.every(({ violations }) => violations.length === 0) ? 0 : 1);
}

function rounded(value: number | string): string {
  return typeof value === "string" ? value : String(Math.round(value * 100) / 100);
}

/** The value below which a share of the samples lies (nearest rank); `NaN` without samples. */
export function percentile(samples: readonly number[], share: number): number {
  const sorted = [...samples].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN;
}
