-- Ends an epoch and begins the next, after an append said "recheck": the primary is another one, or
-- the same in another life, and may not have all that was acknowledged.
--
-- KEYS 1 head   2 epochs: {epoch -> "fork lost next time told"}: the highest id that survived, the highest
--      id that is known to be lost (0: none is), the epoch that followed, when, and the last id when what
--      is lost was reported: whoever stands after it has heard
-- ARGV 1 epoch and 2 replication id that the caller saw   3 the new epoch (random)
--      4 replication id of this connection's primary
--      5 highest id of the old epoch that the caller acknowledged or delivered
--      6 shard channel of the partition's news   7 most epochs that are remembered
-- Answer: {"new" or "stale", epoch, replication id, last id}
local head = call('HMGET', KEYS[1], 'e', 'r', 'i')
if head[1] ~= ARGV[1] or head[2] ~= ARGV[2] then
  return { 'stale', head[1] or '', head[2] or '', head[3] or '0' } -- somebody else was first
end
local fork, seen = tonumber(head[3]), tonumber(ARGV[5])
local lost = seen > fork and seen or 0
-- ids of the new epoch are above all that anybody saw in the old one, whatever the clocks say
local last = fmt('%.0f', math.max(fork, seen))
call('HSET', KEYS[2], ARGV[1], fmt('%.0f %.0f %s %.0f %s', fork, lost, ARGV[3], clock(''), last))
call('HSET', KEYS[1], 'e', ARGV[3], 'r', ARGV[4], 'i', last)
if call('HLEN', KEYS[2]) > tonumber(ARGV[7]) then
  local all, oldest, at = call('HGETALL', KEYS[2]), nil, nil
  for index = 1, #all, 2 do
    local time = tonumber(match(all[index + 1], '^%d+ %d+ %d+ (%d+)'))
    if not at or time < at then
      oldest, at = all[index], time
    end
  end
  call('HDEL', KEYS[2], oldest)
end
call('SPUBLISH', ARGV[6], fmt('1 epoch %s %s ', ARGV[3], last) .. ARGV[1])
return { 'new', ARGV[3], ARGV[4], last }
