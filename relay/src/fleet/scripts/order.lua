-- Sends an order to all replicas, and tells who they are.
--
-- KEYS 1 replicas
-- ARGV 1 shard channel of orders   2 order
-- Answer: {"ok", time, replica, its last beat, ...}
local now = clock()
call('SPUBLISH', ARGV[1], ARGV[2])
return with_replicas({ 'ok' }, KEYS[1], now)
