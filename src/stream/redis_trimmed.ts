/**
 * Entries that a stream dropped before a consumer group was given them. Redis counts them as waiting for ever: the group
 * goes on at the first entry that is left, and its lag stays too large.
 */
import type { RedisConnection } from "./redis_connection.ts";
import { Script } from "./redis_scripts.ts";

/**
 * KEYS stream; ARGV group. Where the first entry that is left lies behind the last one the group was given, the group is
 * set right before it, with the number of entries that came before; so the difference is told once, whoever asks. Answers
 * the difference, or nil where it is not known: before Redis 7, and where entries were deleted that the group was not given.
 */
const SKIP_TRIMMED = new Script(`
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
local function isBefore(a, b)
  local aTime, aNumber = a:match('^(%d+)-(%d+)$')
  local bTime, bNumber = b:match('^(%d+)-(%d+)$')
  aTime, aNumber, bTime, bNumber = tonumber(aTime), tonumber(aNumber), tonumber(bTime), tonumber(bNumber)
  return aTime < bTime or (aTime == bTime and aNumber < bNumber)
end
local function fields(reply)
  local of = {}
  for i = 1, #reply, 2 do of[reply[i]] = reply[i + 1] end
  return of
end
local group
for _, reply in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local one = fields(reply)
  if one.name == ARGV[1] then group = one end
end
local stream = fields(redis.call('XINFO', 'STREAM', KEYS[1]))
local added = stream['entries-added']
if not group or not added or not group['entries-read'] then return false end
local delivered = group['last-delivered-id']
if isBefore(delivered, stream['max-deleted-entry-id']) then return false end
local target = stream['last-generated-id']
local first = stream['first-entry']
if first then
  local time, number = first[1]:match('^(%d+)-(%d+)$')
  if number == '0' then target = string.format('%.0f-18446744073709551615', time - 1)
  else target = time .. '-' .. string.format('%.0f', number - 1) end
end
if not isBefore(delivered, target) then return 0 end
local before = added - stream.length
redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], target, 'ENTRIESREAD', before)
return math.max(0, before - group['entries-read'])
`);

/**
 * Answers how many entries were dropped since the last call of anybody, and lets the group go on behind them; `null` where
 * that is not known.
 */
export async function skipTrimmed(
  connection: RedisConnection,
  { stream, group }: { stream: string; group: string },
): Promise<number | null> {
  const skipped = await SKIP_TRIMMED.run(connection, { keys: [stream], args: [group], repeatable: true });
  return skipped === null ? null : Number(skipped);
}
