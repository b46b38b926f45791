/**
 * A TCP proxy between a client and a server, for the faults of a network: cuts, also in the middle of a request, silence,
 * delay, and lost answers, all of them or that to a chosen request.
 */
import { Buffer } from "node:buffer";

const CHUNK_BYTES = 64 * 1024;

/** What waits for a request that carries a text. */
interface Trap {
  readonly text: Buffer;
  /** Bytes that pass, counted from the beginning of the text; `null`: the request passes, and its answer does not. */
  readonly passes: number | null;
  readonly sprung: PromiseWithResolvers<void>;
}

/** A connection of a client and the one that was opened for it. */
interface Pair {
  readonly client: Deno.TcpConn;
  readonly server: Deno.TcpConn;
  /** Set when the next answer is to be lost. */
  losing: Trap | null;
}

/** Forwards connections to a port of this machine until it is disposed. */
export class TcpProxy implements AsyncDisposable {
  readonly port: number;
  /** Where new connections lead. */
  target: number;
  /** Time that every answer takes longer, milliseconds. */
  delayMs = 0;
  /** Whether answers of the server vanish. */
  dropsAnswers = false;
  readonly #listener: Deno.TcpListener;
  readonly #open = new Set<Pair>();
  readonly #pipes = new Set<Promise<void>>();
  readonly #accepting: Promise<void>;
  #frozen: PromiseWithResolvers<void> | null = null;
  #trap: Trap | null = null;
  #dropped = 0;

  private constructor(target: number) {
    this.target = target;
    this.#listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
    this.port = this.#listener.addr.port;
    this.#accepting = this.#accept();
  }

  /** A proxy to a port. */
  static to(target: number): TcpProxy {
    return new TcpProxy(target);
  }

  /** Bytes of answers that vanished. */
  get droppedBytes(): number {
    return this.#dropped;
  }

  /** Closes every connection; new ones are taken. */
  cut(): void {
    for (const pair of this.#open) this.#close(pair);
  }

  /** Forwards nothing, in either direction, until {@link thaw}. */
  freeze(): void {
    this.#frozen ??= Promise.withResolvers();
  }

  /** Forwards again what was held back. */
  thaw(): void {
    this.#frozen?.resolve();
    this.#frozen = null;
  }

  /** The next request that carries the text arrives, and its connection is cut when its answer comes. Resolves then. */
  loseAnswerTo(text: string): Promise<void> {
    return this.#setTrap(text, null);
  }

  /**
   * Of the next request that carries the text only so many bytes arrive, counted from where the text begins; then its
   * connection is cut. Resolves then. There must be as many: those of a later request count too.
   */
  cutWithin(text: string, bytes: number): Promise<void> {
    return this.#setTrap(text, bytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.thaw();
    this.cut();
    await this.#accepting;
    // One may have been accepted in the last moment.
    this.cut();
    await Promise.all(this.#pipes);
  }

  #setTrap(text: string, passes: number | null): Promise<void> {
    if (this.#trap !== null) throw new Error(`Cannot wait for "${text}": "${this.#trap.text}" is still waited for`);
    this.#trap = { text: Buffer.from(text), passes, sprung: Promise.withResolvers() };
    return this.#trap.sprung.promise;
  }

  async #accept(): Promise<void> {
    for await (const client of this.#listener) {
      let server: Deno.TcpConn;
      try {
        server = await Deno.connect({ hostname: "127.0.0.1", port: this.target });
      } catch {
        close(client);
        continue;
      }
      const pair: Pair = { client, server, losing: null };
      this.#open.add(pair);
      for (const pipe of [this.#forward(pair, this.#requests(pair)), this.#forward(pair, this.#answers(pair))]) {
        this.#pipes.add(pipe);
        void pipe.finally(() => this.#pipes.delete(pipe));
      }
    }
  }

  /** Runs one direction until it ends; then both do. */
  async #forward(pair: Pair, direction: Promise<void>): Promise<void> {
    try {
      await direction;
    } catch (error) {
      // The other side is gone, or was cut.
      if (!isGone(error)) throw error;
    } finally {
      this.#close(pair);
    }
  }

  async #requests(pair: Pair): Promise<void> {
    let before = Buffer.alloc(0);
    /** Bytes that may still pass, and the trap that ends it. */
    let ending: { passes: number; trap: Trap } | null = null;
    for await (const bytes of this.#chunks(pair.client)) {
      const trap = this.#trap;
      if (trap !== null) {
        // A text may lie across two chunks.
        const at = Buffer.concat([before, bytes]).indexOf(trap.text) - before.length;
        if (at >= -before.length) {
          this.#trap = null;
          if (trap.passes === null) pair.losing = trap;
          else ending = { passes: Math.max(0, at + trap.passes), trap };
        }
        before = Buffer.from(bytes.subarray(Math.max(0, bytes.length - trap.text.length + 1)));
      }
      if (ending !== null && ending.passes <= bytes.length) {
        await write(pair.server, bytes.subarray(0, ending.passes));
        ending.trap.sprung.resolve();
        return;
      }
      if (ending !== null) ending.passes -= bytes.length;
      await write(pair.server, bytes);
    }
  }

  async #answers(pair: Pair): Promise<void> {
    for await (const bytes of this.#chunks(pair.server)) {
      if (this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
      if (this.dropsAnswers || pair.losing !== null) this.#dropped += bytes.length;
      if (pair.losing !== null) return pair.losing.sprung.resolve();
      if (!this.dropsAnswers) await write(pair.client, bytes);
    }
  }

  async *#chunks(from: Deno.TcpConn): AsyncGenerator<Uint8Array> {
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (let size = await from.read(buffer); size !== null; size = await from.read(buffer)) {
      if (this.#frozen !== null) await this.#frozen.promise;
      yield buffer.subarray(0, size);
    }
  }

  #close(pair: Pair): void {
    this.#open.delete(pair);
    close(pair.client);
    close(pair.server);
  }
}

async function write(to: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let sent = 0; sent < bytes.length;) sent += await to.write(bytes.subarray(sent));
}

function close(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch (error) {
    if (!(error instanceof Deno.errors.BadResource)) throw error;
  }
}

function isGone(error: unknown): boolean {
  return error instanceof Deno.errors.BadResource || error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe || error instanceof Deno.errors.Interrupted ||
    error instanceof Deno.errors.ConnectionAborted || error instanceof Deno.errors.NotConnected;
}
