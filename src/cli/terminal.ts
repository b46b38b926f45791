/** Standard output, standard error and Ctrl-C, as the commands use them. */

/** Thrown by {@link print} when whoever read the output has gone (`… | head`): there is nothing left to do. */
export class OutputClosed extends Error {
  override readonly name = "OutputClosed";
}

const encoder = new TextEncoder();

/** Writes text to standard output. Throws {@link OutputClosed} when it is closed. */
export function print(text: string): void {
  const bytes = encoder.encode(text);
  try {
    for (let at = 0; at < bytes.length;) at += Deno.stdout.writeSync(bytes.subarray(at));
  } catch (error) {
    if (error instanceof Deno.errors.BrokenPipe) throw new OutputClosed("Standard output is closed");
    throw error;
  }
}

/** Writes a line for a person to standard error. */
export function note(line: string): void {
  const bytes = encoder.encode(line + "\n");
  for (let at = 0; at < bytes.length;) at += Deno.stderr.writeSync(bytes.subarray(at));
}

/** A value from outside as it may be shown on a terminal: control characters become their escapes. */
export function shown(text: string): string {
  // deno-lint-ignore no-control-regex -- the control characters are what must not reach the terminal
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/**
 * Turns the first Ctrl-C (or SIGTERM) into the abortion of the signal it returns, so that a command can finish what it
 * has begun; the second one ends the process at once.
 */
export function onInterrupt(): AbortSignal & Disposable {
  const controller = new AbortController();
  const interrupted = () => {
    if (controller.signal.aborted) Deno.exit(130);
    controller.abort();
  };
  const names: Deno.Signal[] = Deno.build.os === "windows" ? ["SIGINT"] : ["SIGINT", "SIGTERM"];
  for (const name of names) Deno.addSignalListener(name, interrupted);
  return Object.assign(controller.signal, {
    [Symbol.dispose]() {
      for (const name of names) Deno.removeSignalListener(name, interrupted);
    },
  });
}
