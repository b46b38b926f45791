/** A soak run in its short form as a test. */
import { assertEquals } from "@std/assert";
import type { Report } from "./options.ts";

/** What a run needs: it starts processes, on ports and folders of its own. */
const NEEDED = ["run", "net", "read", "write", "env"] as const;

const missing = NEEDED.filter((name) => Deno.permissions.querySync({ name }).state !== "granted");

/**
 * Registers a test that runs a soak run; `check` looks at its report, and wants no violation when it is missing.
 * `lacking`: what else is missing on this machine, such as a server; empty when nothing is.
 */
export function soakCase(
  name: string,
  { run, check = passed, lacking = "" }: {
    run: () => Promise<Report>;
    check?: (report: Report) => void;
    lacking?: string;
  },
): void {
  const permissions = missing.length === 0 ? "" : `needs --allow-${missing.join(", --allow-")}: deno task test`;
  const needs = permissions || lacking;
  Deno.test({
    name: `soak: ${name}${needs && ` (${needs})`}`,
    ignore: needs !== "",
    // grpc-js lets go of the timers of a closed channel in its own time.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => check(await run()),
  });
}

function passed(report: Report): void {
  assertEquals(report.violations, []);
}
