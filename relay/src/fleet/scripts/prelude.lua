#!lua
-- What the scripts of the fleet share. Put in front of each of them.
--
-- Lua would write numbers above 1e14 with an exponent: always format them with %.0f.
local call, fmt, floor, match = redis.call, string.format, math.floor, string.match
local DAY = 86400000

-- The server's clock in milliseconds: one clock for all replicas.
local function clock()
  local time = call('TIME')
  return time[1] * 1000 + floor(time[2] / 1000)
end

-- An answer that begins with these, followed by the time and each replica with the time of its last beat.
local function with_replicas(answer, replicas, now)
  answer[#answer + 1] = fmt('%.0f', now)
  for _, text in ipairs(call('HGETALL', replicas)) do
    answer[#answer + 1] = text
  end
  return answer
end
