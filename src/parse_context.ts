/** From the settings of a hub to what reading one event takes. */
import type { ParseContext } from "./event.ts";
import { newEventId } from "./event_id.ts";
import type { Sender } from "./hub.ts";

/** The settings that decide which events are taken. */
export interface ParseSettings {
  /** The clock, milliseconds. */
  readonly now: () => number;
  readonly naiveZone: string;
  readonly maxFutureMs: number;
  readonly retentionMs: number | null;
}

/** What an event of that sender is read with now. */
export function parseContext(sender: Sender, settings: ParseSettings): ParseContext {
  const { now, naiveZone, maxFutureMs, retentionMs } = settings;
  const time = now();
  return {
    tenant: sender.tenant,
    source: sender.source,
    now: time,
    naiveZone,
    maxFutureMs,
    oldest: retentionMs === null ? null : time - retentionMs,
    newId: newEventId,
  };
}
