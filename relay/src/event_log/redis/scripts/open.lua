-- Opens a partition's log, and begins it if there is none.
--
-- KEYS 1 head
-- ARGV 1 epoch, should the log begin   2 replication id of this connection's primary
--      3 number of partitions
-- Answer: {epoch, replication id, last id, forgotten, partitions, layout, purges}
if call('EXISTS', KEYS[1]) == 0 then
  call('HSET', KEYS[1], 'v', '1', 'n', ARGV[3], 'e', ARGV[1], 'r', ARGV[2], 'i', '0', 'f', '0')
end
return call('HMGET', KEYS[1], 'e', 'r', 'i', 'f', 'n', 'v', 'p')
