/** PublishStream over real sockets: acknowledgements, bad events, flow control both ways, endings. */
import "./environment.ts";
import { assert, assertEquals, assertMatch } from "@std/assert";
import { type ClientDuplexStream, type MethodDefinition, type ServiceError, status as Status } from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { HubError } from "../../../src/errors.ts";
import * as v1 from "../../../src/gen/eventhub/v1/eventhub.ts";
import type { IngestResult } from "../../../src/hub.ts";
import { GRPC_UNANSWERED_EVENTS_MAX } from "../../../src/limits.ts";
import {
  hubMethods,
  openServer,
  type Refusal,
  refusalOf,
  replaced,
  socketTest,
  type TestClient,
  withBytes,
} from "./client.ts";
import { framed, rawCall, statusIn } from "./raw_call.ts";

const { EVENT_STATUS_CONFLICT, EVENT_STATUS_INVALID, EVENT_STATUS_MALFORMED, EVENT_STATUS_UNAVAILABLE } =
  v1.EventStatus;

function event(number: number, more: Partial<v1.EventInput> = {}): v1.EventInput {
  return { id: `e${number}`, userId: "u1", eventType: "purchase", amount: String(number), ...more };
}

/** A stream whose answers are gathered as they come. */
class Sending<Request = v1.PublishStreamRequest> implements Disposable {
  readonly call: ClientDuplexStream<Request, v1.PublishStreamResponse>;
  readonly answers: v1.PublishStreamResponse[] = [];
  /** The error the call ended with; `null` for OK. */
  readonly end: Promise<Refusal | null>;
  #answered = Promise.withResolvers<void>();
  #over = false;

  constructor(client: TestClient, method: MethodDefinition<Request, v1.PublishStreamResponse>) {
    this.call = client.duplex(method);
    this.end = new Promise((resolve) => {
      this.call.on("error", (error) => resolve(refusalOf(error as ServiceError)));
      this.call.on("end", () => resolve(null));
    });
    void this.end.then(() => this.#over = true);
    this.call.on("data", (answer: v1.PublishStreamResponse) => {
      this.answers.push(answer);
      this.#answered.resolve();
    });
  }

  /** Sends, and waits when the stream says so; `false` when the call is over. */
  async send(message: Request): Promise<boolean> {
    if (this.#over) return false;
    if (this.call.write(message)) return true;
    const drained = new Promise((resolve) => this.call.once("drain", resolve));
    await Promise.race([drained, this.end]);
    return !this.#over;
  }

  /** Resolves when so many messages are answered. */
  async whenAnswered(count: number): Promise<void> {
    while (this.#count() < count) {
      await this.#answered.promise;
      this.#answered = Promise.withResolvers();
    }
  }

  get stored(): number[] {
    return this.answers.flatMap(({ stored }) => stored.map(Number));
  }

  get rejected(): v1.Rejection[] {
    return this.answers.flatMap(({ rejected }) => rejected);
  }

  #count(): number {
    return this.answers.reduce(
      (sum, each) => sum + each.stored.length + each.duplicates.length + each.rejected.length,
      0,
    );
  }

  [Symbol.dispose](): void {
    this.call.cancel();
  }
}

function open(client: TestClient): Sending {
  return new Sending(client, hubMethods.publishStream);
}

socketTest("every message is answered once, in order, and the call ends when the client is done", async () => {
  await using server = await openServer();
  const stream = open(server.client);
  const numbers = Array.from({ length: 2_000 }, (_, i) => i);
  for (const number of numbers) await stream.send({ number: BigInt(number), event: event(number) });
  stream.call.end();
  assertEquals(await stream.end, null);
  assertEquals(stream.stored, numbers);
  assert(stream.answers.length < 1_000, `${stream.answers.length} answers: they come per commit, not per event`);
  const { events } = await server.client.unary(hubMethods.listEvents, { limit: 1_000, order: 0 });
  assertEquals(events.length, 1_000);
});

socketTest("bad events are answered beside the good ones and never end the stream", async () => {
  await using server = await openServer();
  await server.client.unary(hubMethods.publish, { event: event(1) });
  // The same wire format, with an event that can be any bytes.
  const method = withBytes(hubMethods.publishStream);
  const stream = new Sending(server.client, method);
  const encode = (number: number, input?: v1.EventInput) =>
    Buffer.from(v1.PublishStreamRequest.encode({ number: BigInt(number), event: input }).finish());
  await stream.send(encode(10, event(1)));
  await stream.send(encode(11, event(1, { amount: "7" })));
  await stream.send(encode(12, { id: "x", amount: "much" }));
  await stream.send(encode(13));
  await stream.send(Buffer.from([8, 14, 18, 3, 10, 9, 65]));
  await stream.send(Buffer.from([8, 15, 18, 4, 10, 2, 255, 254]));
  await stream.send(Buffer.concat([encode(16, event(16)), Buffer.from([56, 1])]));
  await stream.send(encode(17, event(17, { id: undefined })));
  await stream.send(Buffer.concat([encode(0), Buffer.from([8, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1])]));
  await stream.whenAnswered(9);
  assertEquals(stream.answers.flatMap(({ duplicates }) => duplicates), [10n]);
  assertEquals(stream.stored, [17]);
  const byNumber = new Map(stream.rejected.map((rejection) => [rejection.number, rejection]));
  const shown = (number: bigint) => {
    const { status, id, errors } = byNumber.get(number)!;
    return [status, id, errors.map(({ field, code }) => `${field} ${code}`)];
  };
  assertEquals(shown(11n), [EVENT_STATUS_CONFLICT, "e1", ["id mismatch"]]);
  assertEquals(shown(12n), [EVENT_STATUS_INVALID, "x", [
    "user_id required",
    "event_type required",
    "amount invalid_format",
  ]]);
  assertEquals(shown(13n), [EVENT_STATUS_INVALID, "", ["event required"]]);
  assertEquals(shown(14n), [EVENT_STATUS_MALFORMED, "", [" malformed"]]);
  assertEquals(shown(15n), [EVENT_STATUS_MALFORMED, "", [" malformed"]]);
  assertEquals(shown(16n), [EVENT_STATUS_INVALID, "", ["[7] unknown_field"]]);
  assertEquals(shown(2n ** 64n - 1n), [EVENT_STATUS_INVALID, "", ["event required"]]);
  const [given] = stream.answers.flatMap(({ givenIds }) => givenIds);
  assertEquals(given?.number, 17n);
  assertMatch(given?.id ?? "", /^[0-9a-f-]{36}$/);
  stream.call.end();
  assertEquals(await stream.end, null);
});

socketTest(
  "bytes that are no message end the stream with INVALID_ARGUMENT, behind the answers before them",
  async () => {
    await using server = await openServer();
    const method: MethodDefinition<Buffer, v1.PublishStreamResponse> = {
      ...hubMethods.publishStream,
      requestSerialize: (bytes) => bytes,
      requestDeserialize: (bytes) => bytes,
    };
    const stream = new Sending(server.client, method);
    await stream.send(Buffer.from(v1.PublishStreamRequest.encode({ number: 1n, event: event(1) }).finish()));
    await stream.send(Buffer.from([18, 200]));
    const end = await stream.end;
    assertEquals([end?.code, end?.reason], [Status.INVALID_ARGUMENT, "malformed"]);
    assertEquals(stream.stored, [1]);
  },
);

socketTest("a stream that ends inside a message is INVALID_ARGUMENT, behind the answers before it", async () => {
  await using server = await openServer();
  const path = "/eventhub.v1.EventHubService/PublishStream";
  const message = (number: number) =>
    framed(v1.PublishStreamRequest.encode({ number: BigInt(number), event: event(number) }).finish());
  for (const [id, bytes] of [1, 4, 5, 9, message(0).length - 1].entries()) {
    const body = Buffer.concat([message(100 + id), message(200 + id).subarray(0, bytes)]);
    const { code, reason } = statusIn(await rawCall(server.port, { path, body }));
    assertEquals([code, reason], [Status.INVALID_ARGUMENT, "malformed"], `${bytes} bytes`);
    assertEquals((await server.hub.get("default", `e${100 + id}`)).id, `e${100 + id}`);
  }
  const whole = await rawCall(server.port, { path, body: Buffer.concat([message(1), message(2)]) });
  assertEquals(whole["grpc-status"], String(Status.OK));
});

socketTest("an overloaded hub answers every message as unavailable, with a time to retry", async () => {
  let calls = 0;
  await using server = await openServer({
    wrapHub: (hub) =>
      replaced(hub, {
        publishBatch: (inputs, sender) =>
          calls++ === 0
            ? Promise.reject(new HubError("overloaded", "Too much in flight", { retryAfterSeconds: 2 }))
            : hub.publishBatch(inputs, sender),
      }),
  });
  const stream = open(server.client);
  await stream.send({ number: 1n, event: event(1) });
  await stream.whenAnswered(1);
  const [rejection] = stream.rejected;
  assertEquals([rejection?.status, rejection?.id, rejection?.retryDelay?.seconds], [
    EVENT_STATUS_UNAVAILABLE,
    "e1",
    2n,
  ]);
  await stream.send({ number: 2n, event: event(1) });
  await stream.whenAnswered(2);
  assertEquals(stream.stored, [2]);
  stream.call.end();
  assertEquals(await stream.end, null);
});

/** A hub whose commits wait until they are let go; it tells how many events it was given. */
function gatedHub() {
  const gate = Promise.withResolvers<void>();
  const state = { given: 0, gate };
  const publishBatch = async (inputs: readonly unknown[]): Promise<IngestResult[]> => {
    state.given += inputs.length;
    await gate.promise;
    return inputs.map((_, i) => ({ status: "stored", id: `x${i}` }));
  };
  return { state, publishBatch };
}

/** Lets everything happen that does not wait for a timer: the writes of a client that has no more room. */
async function whenStill(progress: () => number): Promise<void> {
  let before = -1;
  let rounds = 0;
  while (rounds < 2_000) {
    await new Promise((resolve) => setImmediate(resolve));
    rounds = progress() === before ? rounds + 1 : 0;
    before = progress();
  }
}

socketTest("a client that floods is stopped by flow control: what the server holds is bounded", async () => {
  const { state, publishBatch } = gatedHub();
  await using server = await openServer({ wrapHub: (hub) => replaced(hub, { publishBatch }) });
  const stream = open(server.client);
  let sent = 0;
  const userId = "u".repeat(250);
  const flood = (async () => {
    while (sent < 100_000 && await stream.send({ number: BigInt(sent), event: event(sent, { userId }) })) sent++;
  })();
  await whenStill(() => sent);
  // What may be unanswered, and about a megabyte that lies in the buffers of two sockets.
  const held = sent;
  assert(held < GRPC_UNANSWERED_EVENTS_MAX + 8_000, `${held} messages were taken without an answer`);
  assert(state.given < 10);
  state.gate.resolve();
  await stream.whenAnswered(held + 1_000);
  stream.call.cancel();
  await flood;
});

socketTest("a client that does not read its answers is stopped, and cut after the time of a stall", async () => {
  let given = 0;
  const publishBatch = (inputs: readonly unknown[]): Promise<IngestResult[]> => {
    given += inputs.length;
    const errors = [{ pointer: "/amount", code: "invalid_type", detail: "x".repeat(2_000) }] as const;
    return Promise.resolve(inputs.map(() => ({ status: "invalid", id: null, errors })));
  };
  await using server = await openServer({
    wrapHub: (hub) => replaced(hub, { publishBatch }),
    timing: { stallMs: 500, endGraceMs: 100 },
  });
  const stream = open(server.client);
  stream.call.pause();
  void (async () => {
    for (let n = 0; await stream.send({ number: BigInt(n), event: event(n) });) n++;
  })();
  const end = await stream.end;
  assertEquals(end?.code, Status.RESOURCE_EXHAUSTED);
  assert(given < 20_000, `${given} events were taken from a client that reads no answers`);
});

socketTest("cancelling in the middle stores what was taken and answers nothing more", async () => {
  await using server = await openServer();
  const stream = open(server.client);
  for (let n = 0; n < 100; n++) await stream.send({ number: BigInt(n), event: event(n) });
  await stream.whenAnswered(1);
  stream.call.cancel();
  assertEquals((await stream.end)?.code, Status.CANCELLED);
  await server.hub.whenSettled();
  const { id } = await server.client.unary(hubMethods.publish, { event: event(1_000) });
  assertEquals(id, "e1000");
});

socketTest("shutdown answers what was taken and then ends the stream with UNAVAILABLE", async () => {
  await using server = await openServer();
  const stream = open(server.client);
  await stream.send({ number: 1n, event: event(1) });
  await stream.whenAnswered(1);
  await server.shutDown();
  const end = await stream.end;
  assertEquals([end?.code, end?.reason], [Status.UNAVAILABLE, "unavailable"]);
  assertEquals(stream.stored, [1]);
});

socketTest("many streams at once, each gets its own answers", async () => {
  await using server = await openServer();
  const streams = Array.from({ length: 20 }, () => open(server.client));
  await Promise.all(streams.map(async (stream, s) => {
    for (let n = 0; n < 200; n++) await stream.send({ number: BigInt(n), event: event(s * 1_000 + n) });
    stream.call.end();
    assertEquals(await stream.end, null);
    assertEquals(stream.stored, Array.from({ length: 200 }, (_, n) => n));
  }));
});
