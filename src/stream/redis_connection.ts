/**
 * One connection to Redis. A command is sent once and never again by the connection itself: whoever sends it knows
 * whether it may be repeated. A command without an answer takes its connection with it, so that no answer of an old
 * command is taken for that of a new one, and nothing piles up behind a server that hangs.
 */
import { getLogger } from "@logtape/logtape";
import type { Redis } from "ioredis";
import { HubError } from "../errors.ts";
import { REDIS_COMMAND_MS, REDIS_LEAVE_MS, REDIS_RETRY_MS } from "../limits.ts";

const log = getLogger(["eventhub", "redis"]);

/** A server that hangs does not say goodbye. */
const DISCONNECT_MS = 200;

/** What Redis answers: text, numbers, nothing, and lists of these. */
export type Reply = string | number | null | readonly Reply[];

/** Settles as `work` does; a refusal becomes `unavailable`, for those whom only that concerns. */
export async function unlessRefused<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    if (!(cause instanceof RedisRefusal)) throw cause;
    throw new HubError("unavailable", "Redis refuses what the hub asks", { cause });
  }
}

/** The connections of this process that cannot be made, by URL: an outage is told once, however many there are. */
const failing = new Map<string, Set<RedisConnection>>();

/** Redis understood the command and refused it; its connection is sound. */
export class RedisRefusal extends Error {
  override readonly name = "RedisRefusal";

  /** Whether the refusal is of this kind: the first word of the message, for example `NOGROUP`. */
  is(kind: string): boolean {
    return this.message.startsWith(kind);
  }
}

/** A connection that makes itself anew until it is disposed. */
export class RedisConnection implements AsyncDisposable {
  readonly #opening: Promise<Redis>;
  readonly #timeoutMs: number;
  #redis: Redis | null = null;
  #waiting: Promise<void> | null = null;
  #unfollow = () => {};
  #closed = false;
  /** It was given up, and is not closed yet. */
  #isLeaving = false;
  readonly #url: string;
  #problem: Error | null = null;

  /**
   * `name` is what `CLIENT LIST` shows. `timeoutMs` is the longest wait for an answer. When `signal` is aborted, what is
   * under way has `REDIS_LEAVE_MS` to end; then it is given up, so that a server that hangs does not hold up an end.
   */
  constructor(url: string, options: { name: string; timeoutMs?: number; signal?: AbortSignal }) {
    this.#timeoutMs = options.timeoutMs ?? REDIS_COMMAND_MS;
    this.#url = url;
    this.#opening = this.#open(url, options.name);
    const { signal } = options;
    if (signal === undefined) return;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const leave = () => timer = setTimeout(() => void this[Symbol.asyncDispose](), REDIS_LEAVE_MS);
    signal.addEventListener("abort", leave);
    this.#unfollow = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", leave);
    };
  }

  async #open(url: string, name: string): Promise<Redis> {
    // Loaded with the first connection: it asks for the environment, which the embedded profile does not grant.
    const { Redis } = await import("ioredis");
    const redis = new Redis(url, {
      connectionName: name,
      // The answers of XREAD differ between the two; every server speaks the older one.
      protocol: 2,
      connectTimeout: REDIS_COMMAND_MS,
      retryStrategy: () => this.#closed ? null : REDIS_RETRY_MS,
      maxRetriesPerRequest: 0,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      disconnectTimeout: DISCONNECT_MS,
      disableClientInfo: true,
    });
    redis.on("error", (error: Error) => {
      const cause = withoutArguments(error);
      if (this.#problem === null) this.#complain(cause);
      this.#problem = cause;
    });
    redis.on("ready", () => {
      if (this.#problem !== null) this.#praise();
      this.#problem = null;
    });
    redis.on("close", () => this.#isLeaving = false);
    this.#redis = redis;
    return redis;
  }

  /** Whether it was disposed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Why there is no connection, as was heard last; `null` while there is one, or nothing was heard. */
  get problem(): Error | null {
    return this.#problem;
  }

  /** Whether a command would be sent at once. */
  get ready(): boolean {
    return this.#redis?.status === "ready" && !this.#isLeaving;
  }

  /**
   * Sends a command once. Rejects with {@link RedisRefusal}, or with `unavailable` when there is no answer: the command
   * then may have been carried out, or may still be.
   */
  async send(command: string, ...args: (string | number)[]): Promise<Reply> {
    const redis = await this.#opening;
    await this.#whenReady(redis);
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      late.reject(new Error(`Redis did not answer ${command} within ${this.#timeoutMs} ms`));
      if (!this.#closed) this.#leave();
    }, this.#timeoutMs);
    try {
      return await Promise.race([redis.call(command, ...args) as Promise<Reply>, late.promise]);
    } catch (cause) {
      if (!(cause instanceof Error)) throw cause;
      const error = withoutArguments(cause);
      if (error.name !== "ReplyError") throw new HubError("unavailable", "Redis cannot be reached", { cause: error });
      if (!isTransient(error)) throw new RedisRefusal(error.message);
      throw new HubError("unavailable", "Redis cannot do it now", { cause: error });
    } finally {
      clearTimeout(timer);
    }
  }

  /** Sends a command that may be carried out twice, and once more when its connection was lost. */
  async ask(command: string, ...args: (string | number)[]): Promise<Reply> {
    const startedAt = performance.now();
    try {
      return await this.send(command, ...args);
    } catch (error) {
      const late = performance.now() - startedAt >= this.#timeoutMs;
      if (error instanceof RedisRefusal || this.#closed || late) throw error;
      return await this.send(command, ...args);
    }
  }

  /** Gives up this connection for a new one, which may lead to another server. */
  reconnect(): void {
    if (this.ready && !this.#closed) this.#leave();
  }

  /** Gives up what is under way. Harmless twice. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#unfollow();
    failing.get(this.#url)?.delete(this);
    const redis = await this.#opening;
    if (redis.status === "end") return;
    const ended = new Promise((resolve) => redis.once("end", resolve));
    // While it waits to connect anew, ioredis cannot be stopped in a way that tells when it has.
    if (redis.status === "reconnecting") redis.once("connect", () => redis.disconnect());
    else redis.disconnect();
    await ended;
  }

  /** Commands that come before the server has said goodbye wait for the new connection. */
  #leave(): void {
    this.#isLeaving = this.#redis?.status === "ready";
    this.#redis?.disconnect(true);
  }

  #complain(cause: Error): void {
    const others = failing.get(this.#url) ?? new Set();
    if (others.size === 0) log.warn("Redis cannot be reached; it is tried again and again", { cause });
    failing.set(this.#url, others.add(this));
  }

  #praise(): void {
    const others = failing.get(this.#url);
    others?.delete(this);
    if (others?.size === 0) log.info("Redis can be reached again");
  }

  /** Commands that come while there is no connection wait for it together. */
  #whenReady(redis: Redis): Promise<void> {
    if (this.#closed) return Promise.reject(new HubError("unavailable", "The connection to Redis is closed"));
    if (this.ready) return Promise.resolve();
    this.#waiting ??= this.#wait(redis).finally(() => this.#waiting = null);
    return this.#waiting;
  }

  #wait(redis: Redis): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (problem?: string) => {
        clearTimeout(timer);
        redis.off("ready", onReady);
        redis.off("end", onEnd);
        if (problem === undefined) resolve();
        else reject(new HubError("unavailable", problem, { cause: this.#problem ?? undefined }));
      };
      const onReady = () => settle();
      const onEnd = () => settle("The connection to Redis is closed");
      const timer = setTimeout(() => settle("Redis cannot be reached"), this.#timeoutMs);
      redis.on("ready", onReady);
      redis.on("end", onEnd);
    });
  }
}

/**
 * Whether the server is starting, failing over or out of memory: it will answer otherwise later. Before Redis 7 what a
 * command in a script was answered stands behind `ERR Error running script (…): `.
 */
function isTransient(error: { message: string }): boolean {
  return /^(?:ERR Error running script .*: -)?(?:LOADING|BUSY|MASTERDOWN|READONLY|OOM|MISCONF|CLUSTERDOWN|TRYAGAIN|NOREPLICAS) /
    .test(error.message);
}

/** Errors of ioredis carry the command with its arguments: passwords and events, which belong into no log. */
function withoutArguments(error: Error & { command?: unknown }): Error {
  delete error.command;
  return error;
}
