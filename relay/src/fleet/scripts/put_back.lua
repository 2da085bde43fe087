-- Puts tickets back as a replica wrote them, where the record is missing or is an earlier one.
--
-- KEYS 1 tickets {id: record}   2 tickets by when they are forgotten
-- ARGV for each: id, how often it had been changed by then, record, when it is forgotten
-- Answer: how many
local put = 0
for index = 1, #ARGV, 4 do
  local record = call('HGET', KEYS[1], ARGV[index])
  local changes = record and match(record, '^1 %S+ %S+ {"changes":(%d+)')
  if not record or (changes and tonumber(changes) < tonumber(ARGV[index + 1])) then
    call('HSET', KEYS[1], ARGV[index], ARGV[index + 2])
    call('ZADD', KEYS[2], ARGV[index + 3], ARGV[index])
    put = put + 1
  end
end
call('PEXPIRE', KEYS[1], DAY)
call('PEXPIRE', KEYS[2], DAY)
return put
