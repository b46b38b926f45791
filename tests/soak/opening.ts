/** An event that is stored while a subscription opens: neither the log nor the live tail may leave it to the next one. */
import { streamHead } from "./api.ts";
import { FOLLOW_PROTOCOLS } from "./follow.ts";
import type { Report } from "./options.ts";
import { startHub } from "./process.ts";
import { restSender } from "./send.ts";
import { Subscriber } from "./subscriber.ts";
import { typicalEvent } from "./typical_event.ts";

/** Without the loss this looks for, it takes some milliseconds. */
const DELIVERY_MS_MAX = 2_000;

/** Opens a subscription of each protocol and sends an event at the same moment, again and again. */
export async function runOpening({ rounds }: { rounds: number }): Promise<Report> {
  await using hub = await startHub();
  const sender = restSender(hub.httpUrl);
  const violations: string[] = [];
  for (let round = 0; round < rounds; round++) {
    const after = await streamHead(hub.httpUrl);
    const subscribers = FOLLOW_PROTOCOLS.map((protocol) => new Subscriber(protocol, { number: round, after }));
    for (const one of subscribers) one.connect(hub);
    const event = typicalEvent(round, { prefix: "opening" });
    await sender.send([event]);
    for (const one of subscribers) {
      await one.whenSeen(event.id, DELIVERY_MS_MAX).catch((error) => violations.push(String(error)));
    }
    for (const one of subscribers) await one.cut();
  }
  return { name: "opening", figures: { rounds }, violations };
}
