-- Keeps a revocation, or that one was taken back, and tells all replicas.
--
-- KEYS 1 replicas   2 state {e, r}   3 revocations {id: record}   4 revocations by change
--      5 revocations by their end
-- ARGV 1 id   2 record; empty: taken back   3 its end in ms
--      4 most   5 shard channel of orders   6 order; empty: tell nobody, and keep it only if nothing
--      later is known of the id   7 epoch, should the state begin   8 when it was revoked, in ms
-- Answer: {"ok" or "full" or "known", time, replica, its last beat, ...}
local now = clock()
local over = call('ZRANGEBYSCORE', KEYS[5], '-inf', fmt('%.0f', now), 'LIMIT', 0, 1000)
if #over > 0 then
  call('HDEL', KEYS[3], unpack(over))
  call('ZREM', KEYS[4], unpack(over))
  call('ZREM', KEYS[5], unpack(over))
end
local known = call('HGET', KEYS[3], ARGV[1])
if known and ARGV[6] == '' then
  -- one that was taken back has no time but that of its change
  local since = match(known, '"at":(%d+)') or (known == '' and call('ZSCORE', KEYS[4], ARGV[1]))
  if not since or tonumber(since) >= tonumber(ARGV[8]) then
    return with_replicas({ 'known' }, KEYS[1], now)
  end
end
if not known and ARGV[2] ~= '' and call('ZCARD', KEYS[5]) >= tonumber(ARGV[4]) then
  return with_replicas({ 'full' }, KEYS[1], now)
end
local state = call('HMGET', KEYS[2], 'e', 'r')
if not state[1] then
  call('HSET', KEYS[2], 'e', ARGV[7])
end
-- greater than every change before, also than one that a failover lost
local change = fmt('%.0f', math.max(now, tonumber(state[2] or '0') + 1))
call('HSET', KEYS[2], 'r', change)
call('HSET', KEYS[3], ARGV[1], ARGV[2])
call('ZADD', KEYS[4], change, ARGV[1])
call('ZADD', KEYS[5], ARGV[3], ARGV[1])
local last = call('ZRANGE', KEYS[5], -1, -1, 'WITHSCORES')
local keep = fmt('%.0f', math.min(tonumber(last[2]) - now + DAY, 2 ^ 50))
for index = 3, 5 do
  call('PEXPIRE', KEYS[index], keep)
end
if ARGV[6] ~= '' then
  call('SPUBLISH', ARGV[5], ARGV[6])
end
return with_replicas({ 'ok' }, KEYS[1], now)
