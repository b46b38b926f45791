/** event.EventService: the prototype's contract. */
import type { Server } from "@grpc/grpc-js";
import { formatAmount } from "../../amount.ts";
import { HubError } from "../../errors.ts";
import type { Event } from "../../event.ts";
import type { LiveBatch, LiveEvent } from "../../feed.ts";
import * as compat from "../../gen/event.ts";
import type { HubApi } from "../../hub.ts";
import { LOG_DELAY_MS, PAGE_EVENTS_MAX, STREAM_EVENTS_BACKLOG_MAX } from "../../limits.ts";
import { addServerStream, addUnary, SENDER, type Services } from "./calls.ts";
import { badField } from "./convert.ts";
import { strictly } from "./decode.ts";
import { follow, type LiveFormat } from "./live.ts";
import { type Chunk, chunks } from "./outlet.ts";

const methods = compat.EventServiceService;
const readEventRequest = strictly("event.EventRequest", compat.EventRequest);
const readStreamRequest = strictly("event.StreamRequest", compat.StreamRequest);

/** Adds both methods. */
export function addCompat(server: Server, { hub, calls, timing }: Services): void {
  addUnary(server, {
    calls,
    method: methods.sendEvent,
    decode: readEventRequest,
    handle: async ({ userId, eventType, amount, timestamp }, late) => {
      const input = {
        user_id: userId,
        event_type: eventType,
        amount,
        timestamp: timestamp === "" ? undefined : timestamp,
      };
      const { id } = await hub.publish(input, SENDER, (given) => late.id = given);
      return { eventId: id, status: "success", message: "The event is stored." };
    },
  });
  addServerStream(server, {
    timing,
    path: methods.streamEvents.path,
    decode: readStreamRequest,
    handle: async ({ limit }, outlet) => {
      const backlog = await Backlog.read(hub, limit);
      const subscription = await hub.subscribe({ tenant: SENDER.tenant, start: backlog.start, filter: {} });
      outlet.open();
      const first = backlog.chunks(subscription.cursor);
      await follow(subscription, { outlet, format: backlog, calls, first });
    },
  });
}

/**
 * The newest stored events, and the live ones that are not among them. The live position is taken before the list is
 * read, so that none is missed; what was stored meanwhile comes both ways, and is left out the second time.
 */
class Backlog implements LiveFormat {
  readonly start: { readonly cursor: string } | { readonly at: "latest" };
  readonly #newestFirst: Uint8Array[] = [];
  #listed = new Set<string>();
  #lastReceivedAt = -Infinity;
  #positions = 0;

  private constructor(start: Backlog["start"]) {
    this.start = start;
  }

  static async read(hub: Pick<HubApi, "streamHead" | "list">, limit: number): Promise<Backlog> {
    if (limit < 0 || limit > STREAM_EVENTS_BACKLOG_MAX) {
      throw badField("limit", "out_of_range", `must be from 0 to ${STREAM_EVENTS_BACKLOG_MAX}`);
    }
    const { tenant } = SENDER;
    if (limit === 0) return new Backlog({ at: "latest" });
    const backlog = new Backlog({ cursor: await hub.streamHead(tenant) });
    let cursor: string | undefined;
    let left = limit;
    do {
      const page = await hub.list({ tenant }, { limit: Math.min(left, PAGE_EVENTS_MAX), order: "desc", cursor });
      for (const event of page.events) backlog.#add(event);
      left -= page.events.length;
      cursor = page.nextCursor ?? undefined;
    } while (left > 0 && cursor !== undefined);
    return backlog;
  }

  /** The stored events, oldest first; once. */
  chunks(cursor: string): Chunk[] {
    return chunks(this.#newestFirst.splice(0).reverse().map((bytes) => ({ bytes, cursor })));
  }

  events(batch: LiveBatch): readonly Chunk[] {
    if (this.#listed.size === 0) return batch.encode("grpc compat", eventChunks);
    const fresh = batch.events.filter(({ event }) => !this.#listed.has(event.id));
    // The log is nearly in the order of receipt: behind an event that was received this much later, none of the list
    // can come any more.
    const last = batch.events.at(-1)!.event;
    if (last.receivedAt > this.#lastReceivedAt + LOG_DELAY_MS) this.#listed.clear();
    return eventChunks(fresh);
  }

  position(): Chunk[] {
    // The first is that of the start; a later one means that everything up to now was given.
    if (++this.#positions > 1) this.#listed.clear();
    return [];
  }

  reset({ mode, cursor }: Parameters<LiveFormat["reset"]>[0]): Chunk[] {
    // Repeats are allowed after a reset; a gap is not, and the contract has no message to tell it.
    if (mode === "replay") return [];
    throw new HubError("cursor_reset", "Some events cannot be given any more: begin anew", { cursor });
  }

  #add(event: Event): void {
    this.#newestFirst.push(encode(event));
    this.#listed.add(event.id);
    this.#lastReceivedAt = Math.max(this.#lastReceivedAt, event.receivedAt);
  }
}

function encode({ id, eventType, amount }: Event): Uint8Array {
  const message = `Event: ${eventType} - ${formatAmount(amount)}`;
  return compat.EventResponse.encode({ eventId: id, status: "stream", message }).finish();
}

function eventChunks(events: readonly LiveEvent[]): Chunk[] {
  return chunks(events.map(({ event, cursor }) => ({ bytes: encode(event), cursor })));
}
