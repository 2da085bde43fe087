-- Makes an epoch known again that was lost with all its events: it followed one that is known, on a
-- primary of which this one has heard nothing. It is put between that one and what followed it here, so
-- that who stands in it, or saw it, is told what is missing.
--
-- KEYS 1 head   2 epochs (see epoch.lua)
-- ARGV 1 the epoch before it   2 the lost epoch   3 the highest id of the epoch before that it had
--      4 the highest id of it that the caller acknowledged or delivered   5 shard channel of the news
--      6 most epochs that are remembered
-- Answer: "known" if it is now, "current" if it has not ended, "unknown" if the epoch before it is not
--      known or there is no room
local head = call('HMGET', KEYS[1], 'e', 'i')
local before, kept = call('HGET', KEYS[2], ARGV[1]), call('HGET', KEYS[2], ARGV[2])
if head[1] == ARGV[2] then
  return 'current'
elseif kept then
  return 'known'
elseif not before or not head[2] or call('HLEN', KEYS[2]) >= tonumber(ARGV[6]) then
  return 'unknown'
end
local fork, lost, next_, time, told = match(before, '^(%d+) (%d+) (%d+) (%d+) ?(%d*)')
local had, seen = tonumber(ARGV[3]), tonumber(ARGV[4])
-- what it had of the epoch before, and this primary has too
local own = math.min(had, tonumber(fork))
local last = fmt('%.0f', math.max(tonumber(head[2]), seen))
call('HSET', KEYS[1], 'i', last)
call('HSET', KEYS[2], ARGV[2], fmt('%.0f %.0f %s %.0f %s', own, seen > own and seen or 0, next_, clock(''), last))
if had > tonumber(fork) and had > tonumber(lost) then
  lost, told = ARGV[3], last
end
call('HSET', KEYS[2], ARGV[1], fmt('%s %s %s %s %s', fork, lost, ARGV[2], time, told ~= '' and told or '0'))
call('SPUBLISH', ARGV[5], fmt('1 witness %s %s ', head[1], last) .. ARGV[1])
return 'known'
