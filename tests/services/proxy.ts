/** A TCP proxy between a client and a server, for the faults of a network: cuts, silence, delay, lost answers. */

const CHUNK_BYTES = 64 * 1024;

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
  readonly #open = new Set<Deno.TcpConn>();
  readonly #pipes = new Set<Promise<void>>();
  readonly #accepting: Promise<void>;
  #frozen: PromiseWithResolvers<void> | null = null;
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
    for (const connection of this.#open) close(connection);
    this.#open.clear();
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

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.close();
    this.thaw();
    this.cut();
    await this.#accepting;
    await Promise.all(this.#pipes);
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
      this.#open.add(client).add(server);
      for (const pipe of [this.#pipe(client, server, false), this.#pipe(server, client, true)]) {
        this.#pipes.add(pipe);
        void pipe.finally(() => this.#pipes.delete(pipe));
      }
    }
  }

  async #pipe(from: Deno.TcpConn, to: Deno.TcpConn, isAnswer: boolean): Promise<void> {
    const buffer = new Uint8Array(CHUNK_BYTES);
    try {
      for (let size = await from.read(buffer); size !== null; size = await from.read(buffer)) {
        if (this.#frozen !== null) await this.#frozen.promise;
        if (isAnswer && this.delayMs > 0) await new Promise((resolve) => setTimeout(resolve, this.delayMs));
        if (isAnswer && this.dropsAnswers) {
          this.#dropped += size;
          continue;
        }
        for (let sent = 0; sent < size;) sent += await to.write(buffer.subarray(sent, size));
      }
    } catch (error) {
      // The other side is gone, or was cut.
      if (!isGone(error)) throw error;
    } finally {
      for (const connection of [from, to]) {
        close(connection);
        this.#open.delete(connection);
      }
    }
  }
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
