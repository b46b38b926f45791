/** Calls over a message port: each has a number, and the answer names it. */
import { HubError } from "../errors.ts";
import { SQLITE_CALLS_PENDING_MAX } from "../limits.ts";
import type { Leave, Reply, Withdraw } from "./sqlite_messages.ts";

/** A call that is not answered yet. */
interface Pending extends PromiseWithResolvers<unknown> {
  readonly timer: ReturnType<typeof setTimeout> | undefined;
}

/** How a call is made. */
export interface CallOptions {
  readonly transfer?: Transferable[];
  /** When it is given up: what it then rejects with. Missing = it waits as long as the Worker lives. */
  readonly deadline?: { readonly milliseconds: number; readonly code: "deadline_exceeded" | "unavailable" };
  /** Whether it is made however many wait: for what is bounded elsewhere. */
  readonly unbounded?: boolean;
}

/** One end of the connection to a Worker of the store. The Worker may die and come again with another port. */
export class Calls<Request extends { readonly kind: string }> {
  readonly #worker: string;
  readonly #pending = new Map<number, Pending>();
  readonly #heard: (reply: Exclude<Reply, { call: number }>) => void;
  #port: MessagePort | null = null;
  #calls = 0;
  #closed = false;

  /** `worker` names the other end in errors; `heard` gets what is not the answer to a call. */
  constructor(worker: string, heard: (reply: Exclude<Reply, { call: number }>) => void = () => {}) {
    this.#worker = worker;
    this.#heard = heard;
  }

  /** Uses another port from now on, or none; what was asked over the one before is unanswered for ever. */
  connect(port: MessagePort | null): void {
    this.#port?.close();
    this.#port = port;
    this.#reject(`The ${this.#worker} of the store stopped before it answered`);
    if (port === null) return;
    port.onmessage = ({ data }: MessageEvent<Reply>) => this.#hear(data);
  }

  /**
   * Asks, and resolves with the answer. Rejects with a `HubError`: `unavailable` when the Worker is not there,
   * `overloaded` when too many calls wait, and what the deadline says when it passes. The Worker is told then, and does
   * not begin what nobody waits for.
   */
  call(request: Request, options: CallOptions = {}): Promise<unknown> {
    if (this.#port === null) {
      const reason = this.#closed ? "is closed" : "is being started again";
      return Promise.reject(new HubError("unavailable", `The ${this.#worker} of the store ${reason}`));
    }
    if (this.#pending.size >= SQLITE_CALLS_PENDING_MAX && !options.unbounded) {
      const message = `Too much is asked of the store: ${this.#pending.size} calls wait for its ${this.#worker}`;
      return Promise.reject(new HubError("overloaded", message));
    }
    const call = ++this.#calls;
    const { deadline, transfer = [] } = options;
    const timer = deadline && setTimeout(() => this.#expire(call, deadline), deadline.milliseconds);
    const pending = { ...Promise.withResolvers<unknown>(), timer };
    this.#pending.set(call, pending);
    this.#port.postMessage({ ...request, call }, transfer);
    return pending.promise;
  }

  /** Says something that has no answer. */
  tell(request: Request): void {
    this.#port?.postMessage(request);
  }

  /** Resolves when every call so far is answered. */
  async whenAnswered(): Promise<void> {
    await Promise.allSettled([...this.#pending.values()].map((answer) => answer.promise));
  }

  /** Takes no more calls; those not answered are rejected. Harmless twice. */
  close(): void {
    this.#closed = true;
    this.#port?.postMessage({ kind: "leave" } satisfies Leave);
    this.#port?.close();
    this.#port = null;
    this.#reject("The store is closed");
  }

  #expire(call: number, { milliseconds, code }: NonNullable<CallOptions["deadline"]>): void {
    const message = `The ${this.#worker} of the store did not answer within ${milliseconds} ms`;
    this.#take(call)?.reject(new HubError(code, message));
    this.#port?.postMessage({ kind: "withdraw", call } satisfies Withdraw);
  }

  #take(call: number): Pending | undefined {
    const pending = this.#pending.get(call);
    this.#pending.delete(call);
    clearTimeout(pending?.timer);
    return pending;
  }

  #reject(message: string): void {
    for (const call of [...this.#pending.keys()]) this.#take(call)?.reject(new HubError("unavailable", message));
  }

  #hear(reply: Reply): void {
    if (!("call" in reply)) return this.#heard(reply);
    const pending = this.#take(reply.call);
    if (reply.kind === "done") pending?.resolve(reply.value);
    else pending?.reject(new HubError(reply.code, reply.message));
  }
}
