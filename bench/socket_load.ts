/**
 * The load of `wrk.lua` without wrk: keep-alive sockets, a request on each as soon as the last is answered. Runs as a
 * process of its own; its one argument is an `HttpLoad` in JSON, its last line a `LoadResult`.
 */
import { percentile } from "../tests/soak/options.ts";
import { typicalEvent } from "../tests/soak/typical_event.ts";
import type { HttpLoad, LoadResult } from "./http_load.ts";

const BODIES = 64;

const load: HttpLoad = JSON.parse(Deno.args[0]!);
const { hostname, port } = new URL(load.httpUrl);
const requests = Array.from({ length: BODIES }, (_, number) => requestOf(number));
const latencies: number[] = [];
let errors = 0;

const startedAt = performance.now();
const endsAt = startedAt + load.seconds * 1_000;
await Promise.all(Array.from({ length: load.connections }, (_, number) => play(number)));
const result: LoadResult = {
  requests: latencies.length,
  seconds: (performance.now() - startedAt) / 1_000,
  p50Ms: percentile(latencies, 0.5),
  p99Ms: percentile(latencies, 0.99),
  maxMs: percentile(latencies, 1),
  errors,
};
console.log(JSON.stringify(result));

function requestOf(number: number): Uint8Array {
  const many = load.eventsPerRequest > 1;
  const lines = Array.from({ length: load.eventsPerRequest }, (_, line) => {
    const timestamp = Date.now() - Math.floor(Math.random() * load.spreadSeconds * 1_000);
    const event = typicalEvent(number * load.eventsPerRequest + line, { prefix: "", timestamp });
    // The hub gives the ids, as with wrk.
    return JSON.stringify({ ...event, id: undefined });
  });
  const body = lines.join("\n");
  const head = `POST ${many ? "/events/batch?verbose=false" : "/events"} HTTP/1.1\r\nHost: ${hostname}:${port}\r\n` +
    `Content-Type: ${many ? "application/x-ndjson" : "application/json"}\r\nContent-Length: ${body.length}\r\n\r\n`;
  return new TextEncoder().encode(head + body);
}

async function play(number: number): Promise<void> {
  using socket = await Deno.connect({ hostname, port: Number(port) });
  socket.setNoDelay(true);
  const buffer = new Uint8Array(1 << 16);
  for (let turn = number; performance.now() < endsAt; turn++) {
    const sentAt = performance.now();
    await writeAll(socket, requests[turn % BODIES]!);
    if (!await readAnswer(socket, buffer)) errors += 1;
    latencies.push(performance.now() - sentAt);
  }
}

async function writeAll(socket: Deno.TcpConn, bytes: Uint8Array): Promise<void> {
  for (let offset = 0; offset < bytes.length;) offset += await socket.write(bytes.subarray(offset));
}

/** Reads one answer with a Content-Length; whether it is a 2xx. */
async function readAnswer(socket: Deno.TcpConn, buffer: Uint8Array): Promise<boolean> {
  const decoder = new TextDecoder("latin1");
  let text = "";
  let total = Infinity;
  while (text.length < total) {
    const count = await socket.read(buffer);
    if (count === null) throw new Error("The hub closed the connection");
    text += decoder.decode(buffer.subarray(0, count));
    const headEnd = text.indexOf("\r\n\r\n");
    if (total === Infinity && headEnd >= 0) {
      total = headEnd + 4 + Number(/content-length: (\d+)/i.exec(text)?.[1] ?? 0);
    }
  }
  return text.startsWith("HTTP/1.1 2");
}
