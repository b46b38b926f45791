/** What went wrong, as an exit code and sentences. */
import { CommanderError, InvalidArgumentError } from "commander";
import { HubError } from "../errors.ts";
import { HubProblem, HubUnreachable } from "./client.ts";
import { GaveUp } from "./delivery.ts";
import { OutputClosed } from "./terminal.ts";

/** Thrown by a command that did its work but not all of it; what was missing has been told already. */
export class Incomplete extends Error {
  override readonly name = "Incomplete";
}

/** All went well. */
export const EXIT_OK = 0;
/** Something was not done. */
export const EXIT_FAILED = 1;
/** The command line itself was wrong; nothing was sent. */
export const EXIT_USAGE = 2;

/** What an error of a command means for the process, and what to say about it (nothing when it has been said). */
export function outcomeOf(error: unknown): { code: number; message: string } {
  if (error instanceof OutputClosed) return { code: EXIT_OK, message: "" };
  // A command throws it for options that are wrong together; commander's own have been told by commander.
  if (error instanceof InvalidArgumentError) return { code: EXIT_USAGE, message: `error: ${error.message}` };
  if (error instanceof CommanderError) return { code: error.exitCode === 0 ? EXIT_OK : EXIT_USAGE, message: "" };
  if (error instanceof HubProblem || error instanceof HubUnreachable) {
    return { code: EXIT_FAILED, message: error.message };
  }
  if (error instanceof HubError) return { code: EXIT_FAILED, message: sentenceOf(error) };
  if (error instanceof GaveUp || error instanceof Incomplete) return { code: EXIT_FAILED, message: error.message };
  return { code: EXIT_FAILED, message: error instanceof Error ? error.stack ?? error.message : String(error) };
}

/** An error of a store, without the stack: its message, and what the database said. */
export function sentenceOf({ message, cause }: HubError): string {
  return cause instanceof Error ? `${message} (${cause.message})` : message;
}
