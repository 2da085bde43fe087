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

-- Takes some of what a replica uses of limits away from what all use. Answers how many accounts it still has.
local function take_away(uses, used)
  local some = call('HSCAN', uses, '0', 'COUNT', 500)[2]
  for index = 1, #some, 2 do
    local account = some[index]
    local a, b, c, d = match(some[index + 1], '^(%d+) (%d+) (%d+) (%d+)$')
    local sum = call('HGET', used, account)
    if a and sum then
      local e, f, g, h = match(sum, '^(%d+) (%d+) (%d+) (%d+)$')
      local left = fmt('%.0f %.0f %.0f %.0f', math.max(0, e - a), math.max(0, f - b), math.max(0, g - c),
        math.max(0, h - d))
      if left == '0 0 0 0' then
        call('HDEL', used, account)
      else
        call('HSET', used, account, left)
      end
    end
    call('HDEL', uses, account)
  end
  return call('HLEN', uses)
end
