-- Load for wrk: the typical event, one a request or many as NDJSON lines, without ids, so that the hub gives them.
-- Arguments: events a request (1 = POST /events), and over how many seconds in the past the timestamps are spread
-- (0 = now). What can be built before is: the timestamp of now is the only thing a request adds.
local ffi = require("ffi")
ffi.cdef [[
  typedef struct { long tv_sec; long tv_usec; } timeval;
  int gettimeofday(timeval *tv, void *tz);
]]

local BODIES = 64
local TYPES = { "purchase", "return", "refund", "exchange" }
local clock = ffi.new("timeval")
local bodies = {}
local turn = 0
local path, headers, spread

local function now_ms()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.tv_sec) * 1000 + math.floor(tonumber(clock.tv_usec) / 1000)
end

local function timestamp(ms)
  return string.format("%s.%03dZ", os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000)), ms % 1000)
end

local function head(index)
  return string.format('{"user_id":"user_%d","event_type":"%s","amount":%.2f,"timestamp":"',
    index % 1000, TYPES[index % 4 + 1], (index * 7919 % 100000) / 100)
end

function init(args)
  local events = tonumber(args[1])
  spread = tonumber(args[2])
  path = events == 1 and "/events" or "/events/batch?verbose=false"
  headers = { ["content-type"] = events == 1 and "application/json" or "application/x-ndjson" }
  local start = now_ms()
  for body = 1, BODIES do
    local lines = {}
    for line = 1, events do
      lines[line] = head((body - 1) * events + line)
      if spread > 0 then
        lines[line] = lines[line] .. timestamp(start - math.random(0, spread * 1000)) .. '"}\n'
      end
    end
    if spread > 0 then
      bodies[body] = wrk.format("POST", path, headers, table.concat(lines))
    else
      -- The text between two timestamps; a request joins these with the timestamp of now.
      for line = 2, events do lines[line] = '"}\n' .. lines[line] end
      lines[events + 1] = '"}'
      bodies[body] = lines
    end
  end
end

function request()
  turn = turn % BODIES + 1
  if spread > 0 then return bodies[turn] end
  return wrk.format("POST", path, headers, table.concat(bodies[turn], timestamp(now_ms())))
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%f,"p50Ms":%f,"p99Ms":%f,"maxMs":%f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
