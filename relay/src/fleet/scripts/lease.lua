-- A lease: what only one replica does at a time.
--
-- KEYS 1 leases {name: "token until holder"}
-- ARGV 1 "ask", "renew" or "give"   2 name   3 replica   4 its token, or the least that it wants
--      5 term in ms
-- Answer: {"held", token}, or {"taken", token of the other}
local now = clock()
local token, ends, holder = match(call('HGET', KEYS[1], ARGV[2]) or '', '^(%d+) (%d+) (%S+)$')
token, ends = tonumber(token or 0), tonumber(ends or 0)
local wanted = tonumber(ARGV[4])

local function keep(number, from)
  call('HSET', KEYS[1], ARGV[2], fmt('%.0f %.0f %s', number, from, ARGV[3]))
  call('PEXPIRE', KEYS[1], DAY)
  return { 'held', fmt('%.0f', number) }
end

if ARGV[1] == 'ask' then
  if now < ends and holder ~= ARGV[3] then
    return { 'taken', fmt('%.0f', token) }
  end
  -- of the clock too, should the lease have been forgotten
  return keep(math.max(now, token + 1, wanted), now + tonumber(ARGV[5]))
elseif holder ~= ARGV[3] or token ~= wanted then
  return { 'taken', fmt('%.0f', token) }
elseif ARGV[1] == 'renew' then
  return keep(token, now + tonumber(ARGV[5]))
end
return keep(token, 0)
