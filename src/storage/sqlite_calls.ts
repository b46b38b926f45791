/** Calls over a message port: each has a number, and the answer names it. */
import { HubError } from "../errors.ts";
import type { Leave, Reply } from "./sqlite_messages.ts";

/** One end of the connection to a Worker of the store. The Worker may die and come again with another port. */
export class Calls<Request extends { readonly kind: string }> {
  readonly #worker: string;
  readonly #pending = new Map<number, PromiseWithResolvers<unknown>>();
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

  /** Asks, and resolves with the answer. Rejects with a `HubError`, `unavailable` when the Worker is not there. */
  call(request: Request, transfer: Transferable[] = []): Promise<unknown> {
    const answer = Promise.withResolvers<unknown>();
    if (this.#port === null) {
      const reason = this.#closed ? "is closed" : "is being started again";
      answer.reject(new HubError("unavailable", `The ${this.#worker} of the store ${reason}`));
    } else {
      const call = ++this.#calls;
      this.#pending.set(call, answer);
      this.#port.postMessage({ ...request, call }, transfer);
    }
    return answer.promise;
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

  #reject(message: string): void {
    for (const answer of this.#pending.values()) answer.reject(new HubError("unavailable", message));
    this.#pending.clear();
  }

  #hear(reply: Reply): void {
    if (!("call" in reply)) return this.#heard(reply);
    const answer = this.#pending.get(reply.call);
    this.#pending.delete(reply.call);
    if (reply.kind === "done") answer?.resolve(reply.value);
    else answer?.reject(new HubError(reply.code, reply.message));
  }
}
