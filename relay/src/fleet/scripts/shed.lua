-- Takes away a part of what a replica used that is dead.
--
-- KEYS 1 what it used {account: four numbers}   2 what all use   3 users
-- ARGV 1 replica
-- Answer: accounts that are left
local some = call('HSCAN', KEYS[1], '0', 'COUNT', 500)[2]
for index = 1, #some, 2 do
  local account = some[index]
  local a, b, c, d = match(some[index + 1], '^(%d+) (%d+) (%d+) (%d+)$')
  local sum = call('HGET', KEYS[2], account)
  if a and sum then
    local e, f, g, h = match(sum, '^(%d+) (%d+) (%d+) (%d+)$')
    local left = fmt('%.0f %.0f %.0f %.0f', math.max(0, e - a), math.max(0, f - b), math.max(0, g - c),
      math.max(0, h - d))
    if left == '0 0 0 0' then
      call('HDEL', KEYS[2], account)
    else
      call('HSET', KEYS[2], account, left)
    end
  end
  call('HDEL', KEYS[1], account)
end
local left = call('HLEN', KEYS[1])
if left == 0 then
  call('HDEL', KEYS[3], ARGV[1])
end
return left
