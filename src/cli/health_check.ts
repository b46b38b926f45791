/**
 * The health check of a container, which has neither a shell nor curl: exit code 0 when the hub on this machine is ready.
 * It is a program of its own beside the command line, because it is started every few seconds and must cost next to nothing.
 */

/** Below the time-out of the container engine, so that the reason is told. */
const TIMEOUT_MS = 4_000;

const port = Deno.env.get("EVENTHUB_HTTP_PORT")?.trim() || Deno.env.get("PORT")?.trim() || "8000";

try {
  const response = await fetch(`http://127.0.0.1:${port}/readyz`, { signal: AbortSignal.timeout(TIMEOUT_MS) });
  console.log(await response.text());
  Deno.exit(response.ok ? 0 : 1);
} catch (error) {
  console.error(`Cannot ask the hub on port ${port}: ${error instanceof Error ? error.message : error}`);
  Deno.exit(1);
}
