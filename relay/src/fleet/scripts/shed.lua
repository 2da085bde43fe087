-- Takes away a part of what a replica used that is dead.
--
-- KEYS 1 what it used {account: four numbers}   2 what all use   3 users
-- ARGV 1 replica
-- Answer: accounts that are left
local left = take_away(KEYS[1], KEYS[2])
if left == 0 then
  call('HDEL', KEYS[3], ARGV[1])
end
return left
