/** Load from all protocols at once, at full speed or at a pace. */
import type { HubAddress } from "./follow.ts";
import type { Ledger } from "./ledger.ts";
import { paced } from "./pace.ts";
import { graphqlSender, ndjsonSender, restSender, type Sender } from "./send.ts";
import { grpcBatchSender, grpcSender, grpcStreamSender } from "./send_grpc.ts";
import type { TypicalEvent } from "./typical_event.ts";

const NDJSON_BATCH_EVENTS = 50;
const GRPC_BATCH_EVENTS = 50;
const GRPC_STREAM_WINDOW_EVENTS = 20;
/** Requests of a paced load that run at once; beyond it the pace waits, and what is due comes later in larger batches. */
const PACED_REQUESTS_MAX = 32;

/** Senders of every protocol, some of each. They hold connections: close them. */
export function mixedSenders(hub: HubAddress): Sender[] {
  return [
    restSender(hub.httpUrl),
    restSender(hub.httpUrl),
    restSender(hub.httpUrl),
    ndjsonSender(hub.httpUrl, NDJSON_BATCH_EVENTS),
    ndjsonSender(hub.httpUrl, NDJSON_BATCH_EVENTS),
    graphqlSender(hub.httpUrl),
    graphqlSender(hub.httpUrl),
    grpcSender(hub.grpcAddress),
    grpcBatchSender(hub.grpcAddress, GRPC_BATCH_EVENTS),
    grpcStreamSender(hub.grpcAddress, GRPC_STREAM_WINDOW_EVENTS),
  ];
}

/** What {@link sendPaced} needs. */
export interface PacedLoad {
  readonly hub: HubAddress;
  readonly eventsPerSecond: number;
  readonly ledger: Ledger;
  readonly next: () => TypicalEvent;
  readonly signal: AbortSignal;
}

/** Sends at a rate over NDJSON and gRPC batches in turn until the signal aborts, and awaits what runs then. */
export async function sendPaced(load: PacedLoad): Promise<void> {
  const senders = [
    ndjsonSender(load.hub.httpUrl, Infinity),
    grpcBatchSender(load.hub.grpcAddress, Infinity),
    grpcStreamSender(load.hub.grpcAddress, Infinity),
  ];
  const running = new Set<Promise<unknown>>();
  let turn = 0;
  try {
    for await (const due of paced(load.eventsPerSecond, load.signal)) {
      const events = Array.from({ length: due }, load.next);
      const request = load.ledger.send(senders[turn++ % senders.length]!, events).finally(() =>
        running.delete(request)
      );
      running.add(request);
      if (running.size >= PACED_REQUESTS_MAX) await Promise.race(running);
    }
    await Promise.all(running);
  } finally {
    for (const sender of senders) sender.close();
  }
}
