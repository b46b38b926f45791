/** Event Hub: environment → configuration → open the app → wait for a signal → close it. */
import { openApp } from "./src/app.ts";
import { loadConfig } from "./src/config.ts";

/** Ends the process when closing takes longer than its time-out: everything acknowledged is on disk by then. */
function endAfter(milliseconds: number): void {
  Deno.unrefTimer(setTimeout(() => {
    console.error(`Event Hub did not close within ${milliseconds} ms and is ended`);
    Deno.exit(1);
  }, milliseconds));
}

try {
  const config = loadConfig(Deno.env.toObject(), { isTerminal: Deno.stdout.isTerminal() });
  // As the first process of a container nobody else would hear a signal that comes while it starts.
  const stopped = Promise.withResolvers<void>();
  for (const signal of ["SIGINT", "SIGTERM"] as const) Deno.addSignalListener(signal, () => stopped.resolve());
  const app = await openApp(config);
  console.log(`Event Hub is ready: ${app.httpUrl}${app.grpcAddress === null ? "" : `  grpc://${app.grpcAddress}`}`);
  await stopped.promise;
  endAfter(config.shutdownTimeoutMs);
  await app[Symbol.asyncDispose]();
  Deno.exit(0);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  Deno.exit(1);
}
