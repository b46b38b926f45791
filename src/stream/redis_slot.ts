/**
 * Names of consumers: `hub-<n>`, n being the lowest number that no living process holds. So a process that starts again
 * finds the entries its forerunner did not acknowledge under its own name, and names do not pile up.
 */
import { CONSUMER_SLOT_MS, CONSUMER_SLOTS_MAX } from "../limits.ts";
import { wait } from "../worker.ts";
import type { RedisConnection } from "./redis_connection.ts";
import { newMarker, type RedisKeys, Script } from "./redis_scripts.ts";

/**
 * KEYS slot or lease; ARGV holder, milliseconds. Renews it for its holder, also when it ran out and nobody took it. It is
 * deleted first because of a server that is out of memory: it refuses the first command of a script that takes memory,
 * and none behind one that changed anything. What the holder of so small a name does next gives memory back.
 */
const HOLD = new Script(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
`);

/** KEYS slot or lease; ARGV holder. */
const RELEASE = new Script(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 1
`);

/** KEYS stream, slot; ARGV group, consumer. Removes a consumer nobody holds, unless entries wait for it. */
const REMOVE = new Script(`
if redis.call('EXISTS', KEYS[2]) == 1 then return 0 end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local name, pending
  for i = 1, #consumer, 2 do
    if consumer[i] == 'name' then name = consumer[i + 1] elseif consumer[i] == 'pending' then pending = consumer[i + 1] end
  end
  if name == ARGV[2] and pending == 0 then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2])
    return 1
  end
end
return 0
`);

const CONSUMER = /^hub-(\d{1,6})$/;

/** Something in Redis that one process holds at a time, for as long as it renews it. */
export class Hold {
  readonly #connection: RedisConnection;
  readonly #holder = newMarker();

  constructor(connection: RedisConnection) {
    this.#connection = connection;
  }

  /** Takes or renews a key; `false` while another process holds it. */
  async take(key: string, milliseconds: number): Promise<boolean> {
    const args = [this.#holder, milliseconds];
    return await HOLD.run(this.#connection, { keys: [key], args, repeatable: true }) === 1;
  }

  /** Lets go of a key, if it is still held. */
  async release(key: string): Promise<void> {
    await RELEASE.run(this.#connection, { keys: [key], args: [this.#holder], repeatable: true });
  }
}

/** A held name of a consumer. */
export interface Slot {
  readonly consumer: string;
  readonly key: string;
}

/** Takes the lowest free name of a group. */
export async function takeSlot(hold: Hold, { keys, group }: { keys: RedisKeys; group: string }): Promise<Slot> {
  for (let number = 1; number <= CONSUMER_SLOTS_MAX; number++) {
    const key = keys.slot(group, number);
    if (await hold.take(key, CONSUMER_SLOT_MS)) return { consumer: `hub-${number}`, key };
  }
  throw new Error(`Cannot join group "${group}": it has ${CONSUMER_SLOTS_MAX} consumers already`);
}

/** Renews a name until the signal is aborted; resolves earlier when another process holds it. Rejects as Redis does. */
export async function keepSlot(hold: Hold, { slot, signal }: { slot: Slot; signal: AbortSignal }): Promise<void> {
  while (!signal.aborted) {
    await wait(CONSUMER_SLOT_MS / 3, signal);
    if (!signal.aborted && !await hold.take(slot.key, CONSUMER_SLOT_MS)) return;
  }
}

/** Removes the consumers of a group that no process holds and no entry waits for. Answers their names. */
export async function removeDeadConsumers(
  connection: RedisConnection,
  { keys, stream, group }: { keys: RedisKeys; stream: string; group: string },
): Promise<string[]> {
  const removed: string[] = [];
  for (const consumer of await connection.ask("XINFO", "CONSUMERS", stream, group) as readonly (readonly string[])[]) {
    const name = consumer[consumer.indexOf("name") + 1] ?? "";
    const number = CONSUMER.exec(name)?.[1];
    if (number === undefined) continue;
    const options = { keys: [stream, keys.slot(group, Number(number))], args: [group, name], repeatable: true };
    if (await REMOVE.run(connection, options) === 1) removed.push(name);
  }
  return removed;
}
