-- A replica says that it lives, and is told who else does.
--
-- KEYS 1 replicas {id: time of its last beat}   2 vitals {id: what it says of itself}
--      3 state {e, r}: epoch, last change of revocations   4 ends of tickets
-- ARGV 1 replica   2 its vitals   3 ms after which one that was not heard of is forgotten
--      4 epoch, should the state begin
-- Answer: {epoch, last change of revocations, tickets, time, replica, its last beat, ...}
local now = clock()
call('HSET', KEYS[1], ARGV[1], fmt('%.0f', now))
call('HSET', KEYS[2], ARGV[1], ARGV[2])
local all = call('HGETALL', KEYS[1])
for index = 1, #all, 2 do
  if now - tonumber(all[index + 1]) > tonumber(ARGV[3]) then
    call('HDEL', KEYS[1], all[index])
    call('HDEL', KEYS[2], all[index])
  end
end
call('PEXPIRE', KEYS[1], DAY)
call('PEXPIRE', KEYS[2], DAY)
local state = call('HMGET', KEYS[3], 'e', 'r')
if not state[1] then
  call('HSET', KEYS[3], 'e', ARGV[4], 'r', '0')
  state = { ARGV[4], '0' }
end
return with_replicas({ state[1], state[2], call('ZCARD', KEYS[4]) }, KEYS[1], now)
