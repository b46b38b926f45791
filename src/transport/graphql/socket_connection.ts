/** One WebSocket: bounded in what it takes and in what waits to be sent. */
import type { WebSocket as ProtocolSocket } from "graphql-ws";
import {
  GRAPHQL_SOCKET_MESSAGE_CHARACTERS_MAX,
  GRAPHQL_SOCKET_MESSAGES_MAX,
  SOCKET_BUFFER_BYTES_MAX,
  SOCKET_DRAIN_CHECK_MS_MAX,
  SOCKET_DRAIN_CHECK_MS_MIN,
} from "../../limits.ts";

/** How a socket is closed: a code of RFC 6455, and a sentence. */
export interface CloseReason {
  readonly code: number;
  readonly text: string;
}

const TOO_LARGE: CloseReason = { code: 1009, text: "The message is too large" };
const NOT_TEXT: CloseReason = { code: 1003, text: "Messages are text" };
const TOO_MANY: CloseReason = { code: 1008, text: "Too many messages at once" };
/** Clients take it as "try again". */
const NOT_READ: CloseReason = { code: 1013, text: "The socket was not read; subscribe again behind the last event" };
const FAILED: CloseReason = { code: 1011, text: "The hub failed" };

/** What a connection tells its owner. */
export interface ConnectionOptions {
  /** The protocol agreed on; empty when none was. */
  readonly protocol: string;
  /** Called when the socket is open; what it returns is called when the socket is gone. */
  readonly opened: (socket: ProtocolSocket) => (code: number, reason: string) => Promise<void>;
  readonly gone: () => void;
  readonly failed: (cause: unknown) => void;
}

/** A WebSocket and what waits on it. */
export class SocketConnection {
  readonly #socket: WebSocket;
  readonly #options: ConnectionOptions;
  readonly #gone = Promise.withResolvers<void>();
  #closed: ((code: number, reason: string) => Promise<void>) | null = null;
  #receive: (data: string) => Promise<void> = () => Promise.resolve();
  /** Messages being answered; a subscription is one for as long as it runs. */
  #answering = 0;
  #idle: (() => void) | null = null;
  /** Set when nothing may be written any more. */
  #silent = false;

  constructor(socket: WebSocket, options: ConnectionOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.onopen = () => {
      this.#closed = options.opened({
        protocol: options.protocol,
        send: (data) => this.#send(data),
        close: (code = 1000, text = "") => this.#close({ code, text }),
        onMessage: (receive) => this.#receive = receive,
      });
    };
    socket.onmessage = ({ data }) => void this.#take(data);
    socket.onclose = ({ code, reason }) => {
      this.#release(code, reason);
      options.gone();
      this.#gone.resolve();
    };
    // What failed is told by `onclose`, which follows; a peer that vanished is nothing to log.
    socket.onerror = (event) => event.preventDefault();
  }

  /** Watches a subscription of this socket: when the hub ends it because the socket is not read, the socket goes too. */
  follow(ended: AbortSignal): void {
    const check = (): void => {
      if (ended.reason === "slow_consumer" && drains.waitsFor(this.#socket)) this.cut(NOT_READ);
    };
    if (ended.aborted) check();
    else ended.addEventListener("abort", check, { once: true });
  }

  /** Closes it when everything that was being answered has been; resolves when it is gone. */
  async farewell(reason: CloseReason): Promise<void> {
    if (this.#answering > 0) await new Promise<void>((resolve) => this.#idle = resolve);
    this.#close(reason);
    await this.#gone.promise;
  }

  /** Writes nothing more, lets go of everything that ran on it, and closes it. */
  cut(reason: CloseReason): void {
    this.#close(reason);
    this.#release(reason.code, reason.text);
  }

  async #take(data: unknown): Promise<void> {
    if (this.#silent) return;
    if (typeof data !== "string") return this.cut(NOT_TEXT);
    if (data.length > GRAPHQL_SOCKET_MESSAGE_CHARACTERS_MAX) return this.cut(TOO_LARGE);
    if (this.#answering >= GRAPHQL_SOCKET_MESSAGES_MAX) return this.cut(TOO_MANY);
    this.#answering += 1;
    try {
      await this.#receive(data);
    } catch (error) {
      this.#options.failed(error);
      this.cut(FAILED);
    }
    this.#answering -= 1;
    if (this.#answering === 0) this.#idle?.();
  }

  async #send(data: string): Promise<void> {
    while (!this.#silent && this.#socket.bufferedAmount >= SOCKET_BUFFER_BYTES_MAX) await drains.wait(this.#socket);
    if (!this.#silent && this.#socket.readyState === WebSocket.OPEN) this.#socket.send(data);
  }

  #close({ code, text }: CloseReason): void {
    this.#silent = true;
    if (this.#socket.readyState <= WebSocket.OPEN) this.#socket.close(code, text);
  }

  #release(code: number, reason: string): void {
    this.#silent = true;
    const closed = this.#closed;
    this.#closed = null;
    drains.forget(this.#socket);
    closed?.(code, reason).catch(this.#options.failed);
  }
}

/** Waits for sockets to drain: they do not say so, so those that are full are looked at, all of them by one timer. */
class Drains {
  readonly #waiting = new Map<WebSocket, PromiseWithResolvers<void>>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pauseMs = SOCKET_DRAIN_CHECK_MS_MIN;

  /** Resolves when the socket has room again, or is forgotten. */
  wait(socket: WebSocket): Promise<void> {
    const known = this.#waiting.get(socket);
    if (known !== undefined) return known.promise;
    const waiting = Promise.withResolvers<void>();
    this.#waiting.set(socket, waiting);
    // Whoever comes while the next look is near waits for that one: many of them must not put it off for ever.
    if (this.#timer === undefined || this.#pauseMs > SOCKET_DRAIN_CHECK_MS_MIN) {
      this.#schedule(SOCKET_DRAIN_CHECK_MS_MIN);
    }
    return waiting.promise;
  }

  /** Whether something waits for the socket. */
  waitsFor(socket: WebSocket): boolean {
    return this.#waiting.has(socket);
  }

  /** Lets go of what waits for the socket. */
  forget(socket: WebSocket): void {
    this.#waiting.get(socket)?.resolve();
    this.#waiting.delete(socket);
    if (this.#waiting.size > 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(pauseMs: number): void {
    clearTimeout(this.#timer);
    this.#pauseMs = pauseMs;
    this.#timer = setTimeout(() => this.#look(), pauseMs);
  }

  #look(): void {
    this.#timer = undefined;
    for (const socket of this.#waiting.keys()) {
      if (socket.bufferedAmount < SOCKET_BUFFER_BYTES_MAX) this.forget(socket);
    }
    if (this.#waiting.size > 0) this.#schedule(Math.min(2 * this.#pauseMs, SOCKET_DRAIN_CHECK_MS_MAX));
  }
}

const drains = new Drains();
