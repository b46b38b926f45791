/**
 * Senders as they look behind a load balancer: what one process did not answer is sent again, with the same ids, to
 * another, until it is answered.
 */
import type { Fleet, Member } from "./fleet.ts";
import { pause } from "./pace.ts";
import { graphqlSender, ndjsonSender, restSender, type Sender, type Told } from "./send.ts";
import { grpcBatchSender, grpcSender, grpcStreamSender } from "./send_grpc.ts";
import type { TypicalEvent } from "./typical_event.ts";

const BATCH_EVENTS = 50;
const STREAM_WINDOW_EVENTS = 20;
/** A rest before the next try, as a client with back-off takes it. */
const RETRY_MS = 50;

/** What {@link balanced} needs. */
export interface BalancedOptions {
  /** The processes in the order they are tried. */
  readonly members: readonly Member[];
  /** Opens a sender to one of them. */
  readonly open: (member: Member) => Sender;
  /** Aborting ends the retries: what is not answered then is told `unknown`. */
  readonly signal: AbortSignal;
}

/** A sender that goes on at the next process, on a new connection, when one says nothing of an event. */
export function balanced({ members, open, signal }: BalancedOptions): Sender {
  let turn = 0;
  let sender = open(members[0]!);
  const { protocol, batchEvents } = sender;
  const next = () => {
    sender.close();
    sender = open(members[++turn % members.length]!);
  };
  return {
    protocol,
    batchEvents,
    send: async (events) => {
      const told: Told[] = events.map(() => "unknown");
      for (;;) {
        const open = events.map((_, index) => index).filter((index) => told[index] === "unknown");
        const answers = await sender.send(open.map((index): TypicalEvent => events[index]!));
        open.forEach((index, place) => told[index] = answers[place]!);
        if (!told.includes("unknown") || signal.aborted) return told;
        next();
        await pause(RETRY_MS, signal);
      }
    },
    close: () => sender.close(),
  };
}

/** Senders of every protocol; those of HTTP begin at different processes. Close them. */
export function balancedSenders(fleet: Fleet, signal: AbortSignal): Sender[] {
  const [http, grpc] = [fleet.of("http"), fleet.of("grpc")];
  const from = (start: number) => [...http.slice(start), ...http.slice(0, start)];
  const overHttp = (open: (httpUrl: string) => Sender) =>
    http.map((_, start) => balanced({ members: from(start), open: ({ address }) => open(address.httpUrl), signal }));
  const overGrpc = (open: (address: string) => Sender) =>
    grpc.length === 0 ? [] : [balanced({ members: grpc, open: ({ address }) => open(address.grpcAddress), signal })];
  return [
    ...overHttp(restSender),
    ...overHttp((url) => ndjsonSender(url, BATCH_EVENTS)),
    ...overHttp(graphqlSender),
    ...overGrpc(grpcSender),
    ...overGrpc((address) => grpcBatchSender(address, BATCH_EVENTS)),
    ...overGrpc((address) => grpcStreamSender(address, STREAM_WINDOW_EVENTS)),
  ];
}
