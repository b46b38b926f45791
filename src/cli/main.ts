/** Entry point of `deno task cli`. */
import { VERSION } from "../version.ts";
import { EXIT_OK, outcomeOf } from "./failure.ts";
import { createProgram } from "./program.ts";
import { note } from "./terminal.ts";

/** Runs one command line; answers the exit code. */
async function main(args: readonly string[]): Promise<number> {
  const program = createProgram(VERSION);
  try {
    if (args.length === 0) program.outputHelp();
    else await program.parseAsync([...args], { from: "user" });
    return EXIT_OK;
  } catch (error) {
    const { code, message } = outcomeOf(error);
    if (message) note(message);
    return code;
  }
}

if (import.meta.main) Deno.exit(await main(Deno.args));
