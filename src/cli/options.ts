/** Reading the values of options; what is wrong is told before anything is sent. */
import { InvalidArgumentError, Option } from "commander";
import { DEFAULT_URL } from "./client.ts";

const UNIT_MS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads `500ms`, `30s`, `15m`, `24h` or `7d` into milliseconds. */
export function duration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(text);
  if (!match) throw new InvalidArgumentError("Expected a duration such as 30s, 15m, 24h or 7d.");
  return Math.round(Number(match[1]) * UNIT_MS[match[2]!]!);
}

/** A reader of whole numbers within bounds. */
export function whole(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : NaN;
    if (!(value >= min && value <= max)) {
      throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max.toLocaleString("en")}.`);
    }
    return value;
  };
}

/** Collects a repeatable option into a list. */
export function repeated(text: string, list: string[] | undefined): string[] {
  return [...(list ?? []), text];
}

/** Reads the address of a hub. */
export function hubUrl(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (!url || !["http:", "https:"].includes(url.protocol)) {
    throw new InvalidArgumentError("Expected an address such as http://127.0.0.1:8000.");
  }
  return text;
}

/** The option every command has. */
export function urlOption(): Option {
  return new Option("--url <url>", "address of the hub").default(DEFAULT_URL).argParser(hubUrl);
}

/** The option of commands that show rows; the first form is the default. */
export function outputOption(...forms: readonly string[]): Option {
  return new Option("-o, --output <form>", "how to print").choices(forms).default(forms[0]);
}
