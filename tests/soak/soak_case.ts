/** A soak run in its short form as a test. */
import { assertEquals } from "@std/assert";
import type { Report } from "./options.ts";

/** What a run needs: it starts processes, on ports and folders of its own. */
const NEEDED = ["run", "net", "read", "write", "env"] as const;

const missing = NEEDED.filter((name) => Deno.permissions.querySync({ name }).state !== "granted");

const needed = missing.length === 0 ? "" : `needs --allow-${missing.join(", --allow-")}: deno task test`;

/**
 * Registers a test that runs a soak run; `check` looks at its report, and wants no violation when it is missing.
 * `lacking`: why what it stands on is not here; empty when it is.
 */
export function soakCase(
  name: string,
  { run, check = passed, lacking = "" }: {
    run: () => Promise<Report>;
    check?: (report: Report) => void;
    lacking?: string;
  },
): void {
  const reason = needed || lacking;
  Deno.test({
    name: `soak: ${name}${reason && ` (${reason})`}`,
    ignore: reason !== "",
    // grpc-js lets go of the timers of a closed channel in its own time.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => check(await run()),
  });
}

function passed(report: Report): void {
  assertEquals(report.violations, []);
}
