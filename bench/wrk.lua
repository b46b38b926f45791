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
-- Stands where the timestamp of now goes; as long as one.
local NOW = "9999-12-31T23:59:59.999Z"
local clock = ffi.new("timeval")
-- A request ready to be sent, or the pieces of one between its timestamps.
local requests = {}
local turn, spread = 0, 0
local shown_ms, shown = 0, ""

local function now_ms()
  ffi.C.gettimeofday(clock, nil)
  return tonumber(clock.tv_sec) * 1000 + math.floor(tonumber(clock.tv_usec) / 1000)
end

local function timestamp(ms)
  return string.format("%s.%03dZ", os.date("!%Y-%m-%dT%H:%M:%S", math.floor(ms / 1000)), ms % 1000)
end

local function line(index, time)
  return string.format('{"user_id":"user_%d","event_type":"%s","amount":%.2f,"timestamp":"%s"}',
    index % 1000, TYPES[index % 4 + 1], (index * 7919 % 100000) / 100, time)
end

local function pieces(text)
  local found, from = {}, 1
  while true do
    local first, last = text:find(NOW, from, true)
    found[#found + 1] = text:sub(from, (first or 0) - 1)
    if not first then return found end
    from = last + 1
  end
end

function init(args)
  local events = tonumber(args[1])
  spread = tonumber(args[2])
  local path = events == 1 and "/events" or "/events/batch?verbose=false"
  local headers = { ["content-type"] = events == 1 and "application/json" or "application/x-ndjson" }
  local start = now_ms()
  for body = 1, BODIES do
    local lines = {}
    for index = 1, events do
      local time = spread > 0 and timestamp(start - math.random(0, spread * 1000)) or NOW
      lines[index] = line((body - 1) * events + index, time)
    end
    local text = wrk.format("POST", path, headers, table.concat(lines, "\n"))
    requests[body] = spread > 0 and text or pieces(text)
  end
end

function request()
  turn = turn % BODIES + 1
  if spread > 0 then return requests[turn] end
  local ms = now_ms()
  if ms ~= shown_ms then shown_ms, shown = ms, timestamp(ms) end
  return table.concat(requests[turn], shown)
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%f,"p50Ms":%f,"p99Ms":%f,"maxMs":%f,"errors":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
