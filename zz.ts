import { openMongodb } from "./tests/storage/mongodb.ts";
import { event, events, HOUR, NOON, store } from "./tests/storage/conformance/events.ts";
await using h = await openMongodb();
const at = NOON + 48 * HOUR;
async function time(what: string) {
  const t = performance.now();
  const n = await h.store.settle();
  console.log(
    what,
    n,
    "events",
    Math.round(performance.now() - t),
    "ms",
    await h.database.collection("slices").countDocuments(),
    "slices",
  );
}
for (let hour = 0; hour < 3; hour++) {
  const all = events(3600, (i) => ({ timestamp: NOON, receivedAt: at + hour * HOUR + i * 1000 }));
  await store(h.store, all);
  await time("an hour at 1/s");
  for (let k = 0; k < 3; k++) {
    await store(h.store, [event({ timestamp: NOON, receivedAt: at + hour * HOUR + 3_599_000 })]);
    await time(" one more");
  }
}
