/** PublishStream: events as they come, answered commit by commit. */
import type { Server, ServerDuplexStream } from "@grpc/grpc-js";
import { type FieldError, HubError, toHubError } from "../../errors.ts";
import * as v1 from "../../gen/eventhub/v1/eventhub.ts";
import { GRPC_UNANSWERED_BYTES_MAX, GRPC_UNANSWERED_EVENTS_MAX } from "../../limits.ts";
import { addDuplexStream, endedInsideMessage, type Services } from "./calls.ts";
import { toRequestError } from "./convert.ts";
import type { Decoded } from "./decode.ts";
import { durationOf } from "./errors.ts";
import { MalformedEvent, type ReadEvent, readPublishStreamRequest, type StreamedEvent } from "./event_reader.ts";
import { ingest, type Outcome, toResult } from "./handlers_publish.ts";
import { frames, type Outlet } from "./outlet.ts";

/** Adds the method. */
export function addPublishStream(server: Server, services: Services): void {
  addDuplexStream(server, {
    timing: services.timing,
    path: v1.EventHubServiceService.publishStream.path,
    decode: readPublishStreamRequest,
    handle: (call, outlet) => void new PublishStream(call, { outlet, services }).run(),
  });
}

const EVENT_MISSING: FieldError = { pointer: "/event", code: "required", detail: "event is required" };
/** When to send again what could not be stored. */
const RETRY_SECONDS = 1;

/**
 * One stream. What arrives while a commit is under way goes into the next one, so that a quick client gets large commits
 * and few answers, and an idle one small commits at once. There is no promise or timer for a single event.
 */
class PublishStream {
  readonly #call: ServerDuplexStream<Decoded<StreamedEvent>, never>;
  readonly #outlet: Outlet;
  readonly #services: Services;
  #waiting: StreamedEvent[] = [];
  #waitingBytes = 0;
  #arrived = Promise.withResolvers<void>();
  #halfClosed = false;
  /** Ends the call once everything before it is answered. */
  #end: HubError | null = null;

  constructor(
    call: ServerDuplexStream<Decoded<StreamedEvent>, never>,
    options: { outlet: Outlet; services: Services },
  ) {
    this.#call = call;
    this.#outlet = options.outlet;
    this.#services = options.services;
    call.on("data", (decoded: Decoded<StreamedEvent>) => this.#receive(decoded));
    call.on("end", () => {
      if (endedInsideMessage(call)) return this.#finish(new HubError("malformed", "The stream ended inside a message"));
      this.#halfClosed = true;
      this.#arrived.resolve();
    });
    this.#outlet.over.addEventListener("abort", () => this.#arrived.resolve());
  }

  /** Answers until the client is done, the call is over or the hub shuts down. Never rejects. */
  async run(): Promise<void> {
    const outlet = this.#outlet;
    try {
      this.#services.calls.addStream(
        outlet,
        () => this.#finish(new HubError("unavailable", "The hub is shutting down")),
      );
      outlet.open();
      while (!outlet.over.aborted) {
        if (this.#waiting.length === 0) {
          if (this.#end !== null) return outlet.fail(this.#end);
          if (this.#halfClosed) return outlet.end();
          await this.#arrived.promise;
          this.#arrived = Promise.withResolvers();
          continue;
        }
        const answer = await this.#commit(this.#take());
        const bytes = frames([v1.PublishStreamResponse.encode(answer).finish()]);
        const written = await outlet.write(bytes);
        if (written === "interrupted") throw new HubError("slow_consumer", "The answers were not read for too long");
        // Reading and storing take turns, so that a quick store does not make a commit and an answer of every message.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      outlet.fail(error);
    }
  }

  #receive(decoded: Decoded<StreamedEvent>): void {
    if (this.#end !== null) return;
    if (!decoded.ok) return this.#finish(decoded.error);
    this.#waiting.push(decoded.message);
    this.#waitingBytes += decoded.message.bytes;
    if (this.#waiting.length >= GRPC_UNANSWERED_EVENTS_MAX || this.#waitingBytes >= GRPC_UNANSWERED_BYTES_MAX) {
      this.#call.pause();
    }
    this.#arrived.resolve();
  }

  /** Takes no more messages; those that are waiting are still stored and answered. */
  #finish(error: HubError): void {
    this.#end ??= error;
    this.#call.pause();
    this.#arrived.resolve();
  }

  #take(): StreamedEvent[] {
    const taken = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (this.#end === null && this.#call.isPaused()) this.#call.resume();
    return taken;
  }

  async #commit(messages: readonly StreamedEvent[]): Promise<v1.PublishStreamResponse> {
    const answer: v1.PublishStreamResponse = { stored: [], duplicates: [], rejected: [], givenIds: [] };
    const whole: { number: bigint; event: ReadEvent }[] = [];
    for (const { number, event, faults } of messages) {
      if (event !== undefined && faults.length === 0) whole.push({ number, event });
      else answer.rejected.push(misshapen(number, faults.length === 0 ? [EVENT_MISSING] : faults));
    }
    if (whole.length === 0) return answer;
    let outcomes: readonly Outcome[];
    try {
      outcomes = await ingest(this.#services.hub, whole.map(({ event }) => event));
    } catch (error) {
      const known = toHubError(error);
      if (!known.retryable) throw error;
      for (const { number, event } of whole) answer.rejected.push(unavailable(number, event, known));
      return answer;
    }
    outcomes.forEach((outcome, index) => record(answer, whole[index]!, outcome));
    return answer;
  }
}

function record(answer: v1.PublishStreamResponse, sent: { number: bigint; event: ReadEvent }, outcome: Outcome): void {
  const { number, event } = sent;
  if (outcome instanceof MalformedEvent || (outcome.status !== "stored" && outcome.status !== "duplicate")) {
    const result = toResult(outcome);
    const retry = result.status === v1.EventStatus.EVENT_STATUS_UNAVAILABLE;
    answer.rejected.push({ number, ...result, ...(retry ? { retryDelay: durationOf(RETRY_SECONDS) } : {}) });
    return;
  }
  (outcome.status === "stored" ? answer.stored : answer.duplicates).push(number);
  if (!(event instanceof MalformedEvent) && event.id === undefined) answer.givenIds.push({ number, id: outcome.id });
}

function misshapen(number: bigint, faults: readonly FieldError[]): v1.Rejection {
  const errors = faults.map(toRequestError);
  return { number, status: v1.EventStatus.EVENT_STATUS_INVALID, id: "", errors };
}

/** Nothing of the commit was taken, so an event without an id needs none for its retry. */
function unavailable(number: bigint, event: ReadEvent, error: HubError): v1.Rejection {
  const id = event instanceof MalformedEvent || typeof event.id !== "string" ? "" : event.id;
  const retryDelay = durationOf(error.retryAfterSeconds ?? RETRY_SECONDS);
  return { number, status: v1.EventStatus.EVENT_STATUS_UNAVAILABLE, id, errors: [], retryDelay };
}
