-- Reports the highest id of an ended epoch that a replica acknowledged or delivered. What is above
-- the fork is lost.
--
-- KEYS 1 head   2 epochs (see epoch.lua)
-- ARGV 1 the ended epoch   2 the id   3 shard channel of the partition's news
-- Answer: what is kept of that epoch, or nothing if it is not known
local kept = call('HGET', KEYS[2], ARGV[1])
if not kept then
  return ''
end
local fork, lost, next_, time = match(kept, '^(%d+) (%d+) (%d+) (%d+)')
local seen = tonumber(ARGV[2])
if seen > tonumber(fork) and seen > tonumber(lost) then
  local head = call('HMGET', KEYS[1], 'e', 'i')
  local last = fmt('%.0f', math.max(seen, tonumber(head[2] or '0')))
  kept = fmt('%s %.0f %s %s %s', fork, seen, next_, time, last)
  call('HSET', KEYS[2], ARGV[1], kept)
  if head[2] then
    call('HSET', KEYS[1], 'i', last)
  end
  call('SPUBLISH', ARGV[3], fmt('1 witness %s %.0f ', head[1] or '0', seen) .. ARGV[1])
end
return kept
