/** What the Workers of the store have in common: how they start, take requests over many ports, and end. */
import { type MessagePort as NodePort, receiveMessageOnPort } from "node:worker_threads";
import { HubError, toHubError } from "../errors.ts";
import type { StoreHealth } from "../storage.ts";
import type { Reply, WorkerControl, WorkerOptions, WorkerReport } from "./sqlite_messages.ts";

/** The global scope of a Worker, as far as it is used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<WorkerControl>) => void) | null;
  postMessage(report: WorkerReport): void;
  close(): void;
}

const scope = globalThis as unknown as WorkerScope;

/** The part of a Worker that does the work. */
export interface Service {
  /** Serves another thread. */
  attach(port: MessagePort): void;
  /** Finishes what was asked, and closes the file. */
  close(): void;
}

/** Runs a Worker: `open` is called once, with what the main thread says. */
export function serve(open: (options: WorkerOptions) => Service): void {
  let service: Service | null = null;
  scope.onmessage = ({ data }) => {
    switch (data.kind) {
      case "start":
        try {
          service = open(data.options);
          scope.postMessage({ kind: "ready" });
        } catch (error) {
          scope.postMessage({ kind: "failed", message: messageOf(error) });
        }
        return;
      case "attach":
        return service?.attach(data.port);
      case "ping":
        return scope.postMessage({ kind: "pong" });
      case "close":
        service?.close();
        scope.postMessage({ kind: "closed" });
        return scope.close();
    }
  };
}

/** Tells the main thread what belongs into the log of the process. */
export function report(level: "info" | "warning" | "error", text: string): void {
  scope.postMessage({ kind: "log", level, text });
}

/** Tells of each new trouble once, however often it comes. */
export class Trouble {
  #told = "";

  /** Tells it, unless its `name` is that of what was told last. */
  tell(level: "warning" | "error", text: string, name = text): void {
    if (name !== this.#told) report(level, text);
    this.#told = name;
  }

  /** It is over: it is told again when it comes again. */
  end(): void {
    this.#told = "";
  }
}

/** The next message that waits at a port, without giving up the thread; `undefined` when none does. */
export function nextMessage<T>(port: MessagePort): T | undefined {
  return receiveMessageOnPort(port as unknown as NodePort)?.message as T | undefined;
}

/** The reply to a call that failed: trouble of the database is `unavailable`, an unexpected error stays `internal`. */
export function failure(call: number, error: unknown): Reply {
  if (isDatabaseError(error)) {
    return { kind: "failed", call, code: "unavailable", message: `The database failed: ${messageOf(error)}` };
  }
  if (!(error instanceof HubError)) report("error", error instanceof Error ? error.stack ?? error.message : `${error}`);
  const { code, message } = toHubError(error);
  return { kind: "failed", call, code, message };
}

/** Whether SQLite threw it. */
export function isDatabaseError(error: unknown): boolean {
  return error instanceof Error && (error as { code?: unknown }).code === "ERR_SQLITE_ERROR";
}

/** Whether an error says that the file is damaged: then it stays so, however many questions it still answers. */
export function isDamage(error: unknown): boolean {
  return isDatabaseError(error) && /malformed|not a database/.test(messageOf(error));
}

/** What `/readyz` says of a damaged file. */
export function damaged(error: unknown): StoreHealth {
  return { ok: false, detail: `The database is damaged (${messageOf(error)}): restore a backup` };
}

/** What an error says. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
