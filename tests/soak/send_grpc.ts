/** Ways to send events to a hub over gRPC: unary, in batches, over one bidirectional stream. Each has its own connection. */
import "./http2_client_remedy.ts";
import { type ClientDuplexStream, credentials, type ServiceError, status } from "@grpc/grpc-js";
import {
  EventHubServiceClient,
  type EventInput,
  EventStatus,
  type PublishStreamRequest,
  type PublishStreamResponse,
} from "../../src/gen/eventhub/v1/eventhub.ts";
import { type Sender, type Told, toldBy } from "./send.ts";
import type { TypicalEvent } from "./typical_event.ts";

/** With these a call says nothing of its events, or "retry": the connection broke, the hub is gone or busy. */
const RETRY_CODES: ReadonlySet<number> = new Set([status.UNAVAILABLE, status.DEADLINE_EXCEEDED, status.CANCELLED]);

const TOLD: Partial<Record<EventStatus, string>> = {
  [EventStatus.EVENT_STATUS_STORED]: "stored",
  [EventStatus.EVENT_STATUS_DUPLICATE]: "duplicate",
  [EventStatus.EVENT_STATUS_CONFLICT]: "conflict",
  [EventStatus.EVENT_STATUS_UNAVAILABLE]: "unavailable",
};

/** A client on a connection that it shares with no other. */
export function grpcClient(address: string): EventHubServiceClient {
  return new EventHubServiceClient(address, credentials.createInsecure(), { "grpc.use_local_subchannel_pool": 1 });
}

/** The event as `eventhub.v1` writes it. */
export function eventInput(event: TypicalEvent): EventInput {
  const milliseconds = Date.parse(event.timestamp);
  const seconds = Math.floor(milliseconds / 1_000);
  return {
    id: event.id,
    userId: event.user_id,
    eventType: event.event_type,
    amount: String(event.amount),
    timestamp: { seconds: BigInt(seconds), nanos: (milliseconds - seconds * 1_000) * 1_000_000 },
  };
}

/** `Publish`, one call an event. */
export function grpcSender(address: string): Sender {
  const client = grpcClient(address);
  return {
    protocol: "grpc",
    batchEvents: 1,
    send: async (events) => {
      const told: Told[] = [];
      for (const event of events) told.push(await publish(client, event));
      return told;
    },
    close: () => client.close(),
  };
}

/** `PublishBatch`. */
export function grpcBatchSender(address: string, batchEvents: number): Sender {
  const client = grpcClient(address);
  return {
    protocol: "grpc-batch",
    batchEvents,
    send: (events) => publishBatch(client, events),
    close: () => client.close(),
  };
}

/** `PublishStream`: one stream for all sends; a `send` ends when all its events are answered. */
export function grpcStreamSender(address: string, batchEvents: number): Sender {
  const client = grpcClient(address);
  const stream = new PublishStream(client);
  return {
    protocol: "grpc-stream",
    batchEvents,
    send: (events) => stream.send(events),
    close: () => {
      stream.close();
      client.close();
    },
  };
}

function publish(client: EventHubServiceClient, event: TypicalEvent): Promise<Told> {
  return new Promise((resolve, reject) => {
    client.publish({ event: eventInput(event) }, (error, response) => {
      if (error === null) {
        if (response.id === event.id) return resolve(response.duplicate ? "duplicate" : "stored");
        return reject(new Error(`Publish answered ${response.id} to ${event.id}`));
      }
      if (error.code === status.ALREADY_EXISTS) return resolve("conflict");
      if (isUnknown(error)) return resolve("unknown");
      reject(error);
    });
  });
}

function publishBatch(client: EventHubServiceClient, events: readonly TypicalEvent[]): Promise<readonly Told[]> {
  return new Promise((resolve, reject) => {
    client.publishBatch({ events: events.map(eventInput), omitStored: false }, (error, response) => {
      if (error !== null) return isUnknown(error) ? resolve(events.map(() => "unknown")) : reject(error);
      try {
        resolve(events.map((event, index) => {
          const result = response.results[index];
          if (result?.id !== event.id) throw new Error(`PublishBatch mixed up event ${event.id}`);
          return toldBy(TOLD[result.status] ?? "invalid", event);
        }));
      } catch (mixedUp) {
        reject(mixedUp);
      }
    });
  });
}

/** Whether an error leaves open what became of the call. A broken HTTP/2 stream shows as INTERNAL in grpc-js. */
function isUnknown(error: ServiceError): boolean {
  return RETRY_CODES.has(error.code) || (error.code === status.INTERNAL && error.details.includes("RST_STREAM"));
}

/** A numbered message that waits for its answer. */
interface Waiting {
  readonly event: TypicalEvent;
  readonly resolve: (told: Told) => void;
  readonly reject: (error: unknown) => void;
}

class PublishStream {
  readonly #call: ClientDuplexStream<PublishStreamRequest, PublishStreamResponse>;
  readonly #waiting = new Map<bigint, Waiting>();
  #number = 0n;
  #over = false;

  constructor(client: EventHubServiceClient) {
    this.#call = client.publishStream();
    this.#call.on("data", (response) => this.#take(response));
    this.#call.on("error", (error: ServiceError) => this.#end(isUnknown(error) ? null : error));
    this.#call.on("end", () => this.#end(null));
  }

  async send(events: readonly TypicalEvent[]): Promise<readonly Told[]> {
    return await Promise.all(events.map((event) =>
      new Promise<Told>((resolve, reject) => {
        if (this.#over) return resolve("unknown");
        const number = ++this.#number;
        this.#waiting.set(number, { event, resolve, reject });
        this.#call.write({ number, event: eventInput(event) });
      })
    ));
  }

  close(): void {
    this.#end(null);
    this.#call.end();
    this.#call.cancel();
  }

  #take(response: PublishStreamResponse): void {
    for (const number of response.stored) this.#answer(number, "stored");
    for (const number of response.duplicates) this.#answer(number, "duplicate");
    for (const { number, status } of response.rejected) this.#answer(number, TOLD[status] ?? "invalid");
  }

  #answer(number: bigint, word: string): void {
    const waiting = this.#waiting.get(number);
    if (waiting === undefined) throw new Error(`PublishStream answered number ${number} that was not asked`);
    this.#waiting.delete(number);
    try {
      waiting.resolve(toldBy(word, waiting.event));
    } catch (error) {
      waiting.reject(error);
    }
  }

  /** What was not answered stays unknown; an error that no correct hub gives is passed on. */
  #end(error: Error | null): void {
    this.#over = true;
    for (const waiting of this.#waiting.values()) {
      if (error === null) waiting.resolve("unknown");
      else waiting.reject(error);
    }
    this.#waiting.clear();
  }
}
