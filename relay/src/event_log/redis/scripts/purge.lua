-- Drops all events that a channel has. The channel stays known, so that who missed some is told, and why.
--
-- KEYS 1 head; its p counts purges   2 channels: what is kept of each   3 purges: {channel -> highest id
--      that was purged}   4 the channel's stream
-- ARGV 1 replication id of this connection's primary   2 channel
--      3 shard channel of the partition's news
--      4 ms after which nobody needs what is kept of a channel, or empty
-- Answer: {status, epoch, how many purges there were, highest id, events}
local head = call('HMGET', KEYS[1], 'e', 'r', 'i', 'p')
local events = call('XLEN', KEYS[4])
local kept = read_channel(KEYS[2], ARGV[2])
if not head[1] or (not kept and events == 0) then
  return { 'unknown', head[1] or '0', '0', '0', '0' }
elseif head[2] ~= ARGV[1] then
  return { 'recheck', head[1], '0', '0', '0' }
end
local until_ = fmt('%.0f', kept and kept.last or head[3]) -- without what was kept: no later than the head
local number = fmt('%.0f', tonumber(head[4] or '0') + 1)
call('HSET', KEYS[3], ARGV[2], until_)
if ARGV[4] ~= '' then
  call('PEXPIRE', KEYS[3], fmt('%.0f', ARGV[4] * 2 + 60000))
end
call('HSET', KEYS[1], 'p', number)
call('DEL', KEYS[4])
call('SPUBLISH', ARGV[3], fmt('1 purge %s %s ', head[1], until_) .. ARGV[2] .. '\n' .. number)
return { 'ok', head[1], number, until_, fmt('%d', events) }
