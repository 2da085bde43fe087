-- Raises a fence: appends with an older token are refused from here on.
--
-- KEYS 1 fences {name: highest token}
-- ARGV 1 name   2 token   3 ms after which fences are forgotten that nobody raised
-- Answer: the highest token
local highest = tonumber(call('HGET', KEYS[1], ARGV[1]) or '0')
if tonumber(ARGV[2]) > highest then
  highest = tonumber(ARGV[2])
  call('HSET', KEYS[1], ARGV[1], ARGV[2])
end
call('PEXPIRE', KEYS[1], ARGV[3])
return fmt('%.0f', highest)
