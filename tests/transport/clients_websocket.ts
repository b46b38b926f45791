/** `graphql-transport-ws` (github.com/enisdenjo/graphql-ws, PROTOCOL.md): one subscription on a socket of its own. */

/** What is asked. */
export interface SocketQuery {
  readonly query: string;
  readonly variables?: unknown;
}

type Received =
  | { readonly type: "next"; readonly payload: unknown }
  | { readonly type: "error"; readonly payload: readonly unknown[] }
  | { readonly type: "connection_ack" | "pong" | "ping" | "complete" }
  | { readonly type: "closed"; readonly code: number; readonly reason: string };

/** Messages of a socket, in order. */
export class Socket implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #received: Received[] = [];
  readonly #closed = Promise.withResolvers<void>();
  readonly #opened = Promise.withResolvers<void>();
  #wake: () => void = () => {};

  constructor(url: string, protocol = "graphql-transport-ws") {
    this.#socket = new WebSocket(url.replace(/^http/, "ws"), protocol);
    this.#socket.onopen = () => this.#opened.resolve();
    this.#socket.onmessage = ({ data }) => this.#take(JSON.parse(data));
    this.#socket.onclose = ({ code, reason }) => {
      this.#take({ type: "closed", code, reason });
      this.#opened.resolve();
      this.#closed.resolve();
    };
  }

  /** Sends text as it is, anything else as JSON. */
  async send(message: unknown): Promise<void> {
    await this.#opened.promise;
    this.#socket.send(typeof message === "string" ? message : JSON.stringify(message));
  }

  /** The next message; the last one is always `closed`. */
  async receive(): Promise<Received> {
    while (this.#received.length === 0) await new Promise<void>((resolve) => this.#wake = resolve);
    return this.#received[0]!.type === "closed" ? this.#received[0]! : this.#received.shift()!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#socket.close();
    await this.#closed.promise;
  }

  #take(message: Received): void {
    this.#received.push(message);
    this.#wake();
  }
}

/** The results of one operation; a result with `errors` is the last one when the operation was refused or ended by one. */
export async function* messagesOf<Result>(url: string, payload: SocketQuery): AsyncGenerator<Result, void> {
  await using socket = new Socket(url);
  await socket.send({ type: "connection_init" });
  for (;;) {
    const message = await socket.receive();
    switch (message.type) {
      case "connection_ack":
        await socket.send({ type: "subscribe", id: "1", payload });
        break;
      case "ping":
        await socket.send({ type: "pong" });
        break;
      case "next":
        yield message.payload as Result;
        break;
      case "error":
        yield { errors: message.payload } as Result;
        return;
      case "complete":
        return;
      case "closed":
        throw new Error(`The socket was closed with ${message.code} ${message.reason}`);
    }
  }
}
