/**
 * Load on the hub over gRPC: `PublishBatch` calls, or `PublishStream`s with a window of unanswered messages. Runs as a
 * process of its own; its one argument is a {@link GrpcLoad} in JSON, its last line a {@link GrpcLoadResult}. Messages
 * are bytes made before; events carry no id, so that the hub gives them.
 */
import type { Client } from "@grpc/grpc-js";
import { EventHubServiceService as Service, EventInput, PublishBatchRequest } from "../src/gen/eventhub/v1/eventhub.ts";
import { eventInput, grpcClient } from "../tests/soak/send_grpc.ts";
import { typicalEvent } from "../tests/soak/typical_event.ts";

/** What to send. */
export interface GrpcLoad {
  readonly address: string;
  readonly kind: "batch" | "stream";
  readonly connections: number;
  readonly seconds: number;
  readonly eventsPerBatch: number;
  /** Unanswered messages of each stream. */
  readonly window: number;
}

/** What was acknowledged in the time. */
export interface GrpcLoadResult {
  readonly events: number;
  readonly seconds: number;
  /** Share of one core that this process used: near 1 it is the bottleneck. */
  readonly cpuShare: number;
}

const BODIES = 16;
const STREAM_EVENTS = 4_096;

function inputOf(index: number): EventInput {
  return { ...eventInput(typicalEvent(index, { prefix: "" })), id: undefined };
}

/** Calls one after the other on a connection until the end; the number of events acknowledged. */
async function playBatches(load: GrpcLoad, endsAt: number): Promise<number> {
  const bodies = Array.from({ length: BODIES }, (_, number) => {
    const events = Array.from(
      { length: load.eventsPerBatch },
      (_, line) => inputOf(number * load.eventsPerBatch + line),
    );
    return Buffer.from(PublishBatchRequest.encode({ events, omitStored: true }).finish());
  });
  const client = grpcClient(load.address) as Client;
  let acknowledged = 0;
  for (let turn = 0; performance.now() < endsAt; turn++) {
    acknowledged += await new Promise<number>((resolve, reject) => {
      const { path, responseDeserialize } = Service.publishBatch;
      client.makeUnaryRequest(
        path,
        (body: Buffer) => body,
        responseDeserialize,
        bodies[turn % BODIES]!,
        (error, answer) => {
          if (error !== null) return reject(error);
          resolve(answer!.accepted);
        },
      );
    });
  }
  client.close();
  return acknowledged;
}

/** Keeps the window of a stream full until the end; the number of events acknowledged. */
function playStream(load: GrpcLoad, endsAt: number): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  const events = Array.from({ length: STREAM_EVENTS }, (_, index) => EventInput.encode(inputOf(index)).finish());
  const client = grpcClient(load.address) as Client;
  const { path, responseDeserialize } = Service.publishStream;
  const call = client.makeBidiStreamRequest(path, (body: Buffer) => body, responseDeserialize);
  let sent = 0;
  let acknowledged = 0;
  const fill = () => {
    while (sent - acknowledged < load.window) {
      call.write(streamMessage(sent, events[sent % STREAM_EVENTS]!));
      sent += 1;
    }
  };
  call.on("data", ({ stored, rejected }) => {
    if (rejected.length > 0) return reject(new Error("An event of the stream was rejected"));
    acknowledged += stored.length;
    if (performance.now() < endsAt) fill();
    else call.end();
  });
  call.on("error", reject);
  call.on("end", () => {
    client.close();
    resolve(acknowledged);
  });
  fill();
  return promise;
}

/** `PublishStreamRequest`: field 1 is the number (varint), field 2 the event (bytes). */
function streamMessage(number: number, event: Uint8Array): Buffer {
  const head = [0x08, ...varint(number), 0x12, ...varint(event.length)];
  const message = Buffer.allocUnsafe(head.length + event.length);
  message.set(head);
  message.set(event, head.length);
  return message;
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (; value > 127; value = Math.floor(value / 128)) bytes.push((value % 128) | 128);
  return [...bytes, value];
}

if (import.meta.main) {
  const load: GrpcLoad = JSON.parse(Deno.args[0]!);
  const play = load.kind === "batch" ? playBatches : playStream;
  const startedAt = performance.now();
  const cpuBefore = process.cpuUsage();
  const endsAt = startedAt + load.seconds * 1_000;
  const counts = await Promise.all(Array.from({ length: load.connections }, () => play(load, endsAt)));
  const seconds = (performance.now() - startedAt) / 1_000;
  const { user, system } = process.cpuUsage(cpuBefore);
  const result: GrpcLoadResult = {
    events: counts.reduce((sum, count) => sum + count, 0),
    seconds,
    cpuShare: (user + system) / 1e6 / seconds,
  };
  console.log(JSON.stringify(result));
}
