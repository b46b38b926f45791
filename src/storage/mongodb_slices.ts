/**
 * Slices: the parts in which the events of a minute are counted. A minute is recomputed from all of its slices, so there
 * must be few of them however long events of it come in; a slice is recomputed from all of its events, so it must stay
 * small however many come in.
 *
 * Any division will do, as long as an event never changes its slice and a slice never spans two minutes: the protocol
 * (`mongodb_settle.ts`) never asks whether a slice is complete. Who reads one that grows meanwhile finds the mark of what
 * it missed. So events that are late, of which few belong to one minute, share a slice of a longer stretch of receipt.
 */
import type { Event } from "../event.ts";
import { MONGODB_SLICE_EVENTS, MONGODB_SLICES_REMEMBERED } from "../limits.ts";
import { HOUR_MS, MINUTE_MS } from "../window.ts";
import { minuteKey } from "./mongodb_documents.ts";

const SECOND_MS = 1_000;

/** A stretch of receipt, its letter in the key, and how late events are that it is for, milliseconds. */
const STRETCHES = [
  { letter: "h", lengthMs: HOUR_MS, latenessMin: 24 * HOUR_MS },
  { letter: "m", lengthMs: MINUTE_MS, latenessMin: 10 * MINUTE_MS },
  { letter: "", lengthMs: SECOND_MS, latenessMin: -Infinity },
] as const;
const SLICE = /:([mh]?)(\d+)(?:\.\d+)?$/;

/**
 * `<key of its minute>:<second of receipt>`; of an event that is ten minutes late `:m<minute of receipt>`, of one that is a
 * day late `:h<hour of receipt>`.
 */
function sliceKey({ tenant, timestamp, receivedAt }: Event): string {
  const { letter, lengthMs } = STRETCHES.find(({ latenessMin }) => receivedAt - timestamp >= latenessMin)!;
  return `${minuteKey(tenant, timestamp)}:${letter}${Math.floor(receivedAt / lengthMs)}`;
}

/** The last second in which an event of a slice may have been received; `null` for what is no slice. */
export function receivedUntil(slice: string): Date | null {
  const [, letter, number] = SLICE.exec(slice) ?? [];
  const stretch = STRETCHES.find((stretch) => stretch.letter === letter);
  return stretch === undefined ? null : new Date((Number(number) + 1) * stretch.lengthMs - SECOND_MS);
}

/**
 * Divides events into slices. Of a flood into one old minute, as of many devices whose clocks stand still, each slice gets
 * `MONGODB_SLICE_EVENTS` and the next one the number of its part, `.1`, `.2`; other processes, and one that starts again,
 * fill the same parts once more.
 */
export class Slices {
  readonly #events = new Map<string, number>();

  /** The slice of an event that is about to be stored. */
  of(event: Event): string {
    const key = sliceKey(event);
    const events = this.#events.get(key) ?? 0;
    if (events === 0 && this.#events.size === MONGODB_SLICES_REMEMBERED) this.#events.clear();
    this.#events.set(key, events + 1);
    const part = Math.floor(events / MONGODB_SLICE_EVENTS);
    return part === 0 ? key : `${key}.${part}`;
  }
}
