-- A replica says what it uses of limits, and is told what all use together.
--
-- KEYS 1 what this replica uses {account: four numbers; @: how often it has said so}
--      2 what all use {account: ...}   3 users {replica: 1}
-- ARGV 1 replica   2 how often it was answered "ok" since it began, or since it was answered "again"
--      then for each account: its name, streams, opens, publishes, bytes
-- Answer: {"ok" or "again", {what all use of each account}, {replica, 1, ...}}
-- "again": what it said is not what is kept, since a failover lost some of it or an answer got lost. What
-- is kept of it is being taken away, and it has to say all.
local function numbers(text)
  local a, b, c, d = match(text or '', '^(%d+) (%d+) (%d+) (%d+)$')
  return { tonumber(a or 0), tonumber(b or 0), tonumber(c or 0), tonumber(d or 0) }
end

local function text(of)
  return fmt('%.0f %.0f %.0f %.0f', of[1], of[2], of[3], of[4])
end

local NOTHING = '0 0 0 0'
local function keep(key, account, value)
  if value == NOTHING then
    call('HDEL', key, account)
  else
    call('HSET', key, account, value)
  end
end

call('HSET', KEYS[3], ARGV[1], '1')
if (call('HGET', KEYS[1], '@') or '0') ~= ARGV[2] then
  if take_away(KEYS[1], KEYS[2]) > 0 then
    call('HSET', KEYS[1], '@', '?')
  end
  return { 'again', {}, {} }
end
call('HINCRBY', KEYS[1], '@', '1')
local all = {}
for index = 3, #ARGV, 5 do
  local account = ARGV[index]
  local before = numbers(call('HGET', KEYS[1], account))
  local sum = numbers(call('HGET', KEYS[2], account))
  local mine = {}
  for part = 1, 4 do
    mine[part] = tonumber(ARGV[index + part])
    sum[part] = math.max(0, sum[part] + mine[part] - before[part])
  end
  keep(KEYS[1], account, text(mine))
  keep(KEYS[2], account, text(sum))
  all[#all + 1] = text(sum)
end
for index = 1, 3 do
  call('PEXPIRE', KEYS[index], DAY)
end
return { 'ok', all, call('HGETALL', KEYS[3]) }
