-- Says of tickets whose streams a replica has whether these are open, and since when not.
--
-- KEYS 1 tickets {id: record}   2 tickets by when they are forgotten
-- ARGV for each: id, connection, end of its stream in ms or "-" while it is open, when it is forgotten
-- Answer: the connections whose tickets have opened another stream since
local replaced = {}
for index = 1, #ARGV, 4 do
  local record = call('HGET', KEYS[1], ARGV[index])
  if record then
    local connection, rest = match(record, '^1 (%S+) %S+ (.*)$')
    if connection == ARGV[index + 1] then
      local now = '1 ' .. connection .. ' ' .. ARGV[index + 2] .. ' ' .. rest
      call('HSET', KEYS[1], ARGV[index], now)
      call('ZADD', KEYS[2], ARGV[index + 3], ARGV[index])
    elseif connection then
      replaced[#replaced + 1] = ARGV[index + 1]
    end
  end
end
call('PEXPIRE', KEYS[1], DAY)
call('PEXPIRE', KEYS[2], DAY)
return replaced
