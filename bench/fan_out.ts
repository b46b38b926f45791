/** One stream of events to many live subscribers: the hub's SSE, and a Redis channel (which keeps nothing) beside it. */
import { paced, pause } from "../tests/soak/pace.ts";
import { type HubProcess, startHub } from "../tests/soak/process.ts";
import { ndjsonSender } from "../tests/soak/send.ts";
import { Conversation } from "../tests/soak/conversation.ts";
import { type TypicalEvent, typicalEvent } from "../tests/soak/typical_event.ts";
import type { FanOutOrder, FanOutResult } from "./fan_out_client.ts";
import { RedisServer } from "./redis.ts";

/** Sizes of a run. */
export interface FanOut {
  readonly subscribers: number;
  readonly eventsPerSecond: number;
  readonly seconds: number;
}

/** What one run found. */
export interface FanOutFigures extends FanOutResult {
  readonly sent: number;
  readonly deliveriesPerSecond: number;
}

/** Time for what is on its way to arrive, once nothing is sent any more. */
const SETTLE_MS = 1_000;

/** Runs it on a fresh hub. */
export async function fanOutHub(options: FanOut): Promise<FanOutFigures> {
  await using hub: HubProcess = await startHub();
  const { hostname, port } = new URL(hub.httpUrl);
  const sender = ndjsonSender(hub.httpUrl, Infinity);
  const order: FanOutOrder = { hostname, port: Number(port), kind: "sse", subscribers: options.subscribers };
  return await fanOut(order, { ...options, send: (events) => sender.send(events) });
}

/** Runs it on a fresh Redis, over one connection with pipelined PUBLISH. */
export async function fanOutRedis(options: FanOut): Promise<FanOutFigures> {
  await using redis = await RedisServer.start();
  using publisher = await Deno.connect({ hostname: "127.0.0.1", port: redis.port });
  const answers = new Uint8Array(1 << 16);
  const { subscribers } = options;
  const order: FanOutOrder = { hostname: "127.0.0.1", port: redis.port, kind: "redis", subscribers };
  const send = async (events: readonly TypicalEvent[]) => {
    const commands = events.map((event) => {
      const message = JSON.stringify(event);
      return `*3\r\n$7\r\nPUBLISH\r\n$6\r\nevents\r\n$${message.length}\r\n${message}\r\n`;
    });
    const bytes = new TextEncoder().encode(commands.join(""));
    for (let offset = 0; offset < bytes.length;) offset += await publisher.write(bytes.subarray(offset));
    await publisher.read(answers);
  };
  return await fanOut(order, { ...options, send });
}

async function fanOut(
  order: FanOutOrder,
  options: FanOut & { send: (events: readonly TypicalEvent[]) => Promise<unknown> },
): Promise<FanOutFigures> {
  const client = new URL("fan_out_client.ts", import.meta.url).pathname;
  await using audience = new Conversation(Deno.execPath(), ["run", "--allow-net", client, JSON.stringify(order)]);
  await audience.hear();
  const stop = AbortSignal.timeout(options.seconds * 1_000);
  const startedAt = performance.now();
  let sent = 0;
  for await (const due of paced(options.eventsPerSecond, stop)) {
    await options.send(Array.from({ length: due }, () => typicalEvent(sent++, { prefix: "fan" })));
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  await pause(SETTLE_MS);
  await audience.say();
  const result: FanOutResult = JSON.parse(await audience.hear());
  return { ...result, sent, deliveriesPerSecond: result.deliveries / seconds };
}
