-- Keeps a ticket as it is now, if it is as the caller thinks it was.
--
-- KEYS 1 tickets {id: record}   2 tickets by when they are forgotten
-- ARGV 1 id   2 record before; empty: there is none   3 record   4 when it is forgotten, in ms
--      5 most tickets; empty: this one is kept in any case
-- Answer: "ok" or "changed" or "full"
local now = clock()
local over = call('ZRANGEBYSCORE', KEYS[2], '-inf', fmt('%.0f', now), 'LIMIT', 0, 1000)
if #over > 0 then
  call('HDEL', KEYS[1], unpack(over))
  call('ZREM', KEYS[2], unpack(over))
end
if (call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then
  return 'changed'
end
if ARGV[5] ~= '' and call('ZCARD', KEYS[2]) >= tonumber(ARGV[5]) then
  return 'full'
end
call('HSET', KEYS[1], ARGV[1], ARGV[3])
call('ZADD', KEYS[2], ARGV[4], ARGV[1])
call('PEXPIRE', KEYS[1], DAY)
call('PEXPIRE', KEYS[2], DAY)
return 'ok'
