/** Reads request bodies whole, bounded in size and time: `Deno.serve` itself bounds neither. */
import { HubError } from "../errors.ts";
import { BODY_SWEEP_MS } from "../limits.ts";

/** Bounds of {@link readBody}. */
export interface BodyOptions {
  /** The largest body taken. A larger one is refused before it is read, if its length was told, or while it is read. */
  readonly limitBytes: number;
  /** How long the whole body may take; kept to within `BODY_SWEEP_MS`. */
  readonly timeoutMs: number;
}

/** A body that is being read; {@link Waiting.giveUp} makes its reader fail. */
interface Waiting {
  readonly deadline: number;
  giveUp(): void;
}

/** Raised when nobody waits for a body any more. */
interface Abandoned {
  abandoned: boolean;
}

/** All bodies being read. One coarse timer looks after all of them, and runs only while there are any. */
const waiting = new Set<Waiting>();
let sweeper: ReturnType<typeof setInterval> | undefined;

/**
 * The body of a request; empty when it has none. Throws `HubError`: `payload_too_large` beyond the limit, `timeout` when
 * it came too slowly, `malformed` when it ended early or its length is not a number.
 */
export async function readBody(request: Request, options: BodyOptions): Promise<Uint8Array<ArrayBuffer>> {
  const { limitBytes } = options;
  const declared = request.headers.get("content-length");
  const state: Abandoned = { abandoned: false };
  if (declared === null) return await beforeDeadline(collect(request, limitBytes, state), state, options);
  if (!/^[0-9]+$/.test(declared)) throw new HubError("malformed", "Content-Length must be a whole number");
  if (Number(declared) > limitBytes) throw tooLarge(limitBytes);
  // The server hands out no more bytes than were declared, so reading all at once is bounded, and quicker.
  return await beforeDeadline(request.bytes(), state, options);
}

/** Reads into one growing buffer: a list of chunks would cost a hundred bytes for each chunk of one. */
async function collect(request: Request, limitBytes: number, state: Abandoned): Promise<Uint8Array<ArrayBuffer>> {
  let buffer = new Uint8Array(0);
  let length = 0;
  for await (const chunk of request.body ?? []) {
    const needed = length + chunk.byteLength;
    if (needed > limitBytes) throw tooLarge(limitBytes);
    if (state.abandoned) break;
    if (length === 0 && buffer.byteLength === 0) {
      buffer = chunk;
    } else {
      if (needed > buffer.byteLength) {
        const larger = new Uint8Array(Math.min(limitBytes, Math.max(needed, 2 * buffer.byteLength)));
        larger.set(buffer.subarray(0, length));
        buffer = larger;
      }
      buffer.set(chunk, length);
    }
    length = needed;
  }
  return buffer.subarray(0, length);
}

function beforeDeadline<T>(reading: Promise<T>, state: Abandoned, { timeoutMs }: BodyOptions): Promise<T> {
  return new Promise((resolve, reject) => {
    const entry: Waiting = {
      deadline: performance.now() + timeoutMs,
      giveUp(): void {
        forget(entry);
        state.abandoned = true;
        reject(new HubError("timeout", `The body did not arrive within ${timeoutMs / 1000} s`));
      },
    };
    waiting.add(entry);
    sweeper ??= setInterval(sweep, BODY_SWEEP_MS);
    reading.then((value) => {
      forget(entry);
      resolve(value);
    }, (cause: unknown) => {
      forget(entry);
      reject(cause instanceof HubError ? cause : new HubError("malformed", "The body ended early", { cause }));
    });
  });
}

function forget(entry: Waiting): void {
  if (!waiting.delete(entry) || waiting.size > 0) return;
  clearInterval(sweeper);
  sweeper = undefined;
}

function sweep(): void {
  const now = performance.now();
  for (const entry of waiting) if (now >= entry.deadline) entry.giveUp();
}

function tooLarge(limitBytes: number): HubError {
  return new HubError("payload_too_large", `The body may have at most ${limitBytes} bytes`);
}
