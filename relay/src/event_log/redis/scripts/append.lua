-- Appends events to one channel, all or none.
--
-- KEYS 1 head {v, n, e, r, i, f}: layout, partitions, epoch, replication id that it was confirmed on,
--        last id, highest id that the index has forgotten
--      2 index: channels by last id   3 channels: what is kept of each   4 names, in order
--      5 the channel's stream
--      with an Idempotency-Key: 6 keys by time   7 keys: what became of each
-- ARGV 1 epoch, should the log begin   2 replication id of this connection's primary
--      3 the time, empty for the server's   4 number of partitions   5 most channels
--      6 channel   7 shard channel of its events   8 shard channel of the partition's news
--      9 most events, or empty   10 greatest age in ms, or empty   11 most bytes, or empty
--     12 ms after which nobody needs what is kept of a channel, or empty
--     13 token of this attempt   14 last id known before the first attempt, empty if this is it
--     15 "1" if the channel ends with the last event
--     16 key, or empty   17 its fingerprint   18 its window in ms   19 most keys
--     20.. events
-- Answer: {status, epoch, first id, last id}
local head = call('HMGET', KEYS[1], 'e', 'r', 'i', 'f', 'n')
local epoch, last, forgotten = head[1], tonumber(head[3] or '0'), head[4] or '0'
if not epoch then
  epoch = ARGV[1]
  call('HSET', KEYS[1], 'v', '1', 'n', ARGV[4], 'e', epoch, 'r', ARGV[2], 'i', '0', 'f', '0')
elseif head[2] ~= ARGV[2] then
  return { 'recheck', epoch, head[3], head[2] }
elseif head[5] ~= ARGV[4] then
  return { 'partitions', epoch, head[5], '' }
end

local now = clock(ARGV[3])
local keyed = ARGV[16] ~= ''
if keyed then
  local used = call('HGET', KEYS[7], ARGV[16])
  if used then
    local at, print, of, first, until_ = match(used, '^(%d+) (%x+) (%d+) (%d+) (%d+)$')
    if now - tonumber(at) <= tonumber(ARGV[18]) then
      if print ~= ARGV[17] then
        return { 'conflict', epoch, '', '' }
      end
      return { 'duplicate', of, first, until_ }
    end
  end
end

if ARGV[14] ~= '' then -- the answer to an earlier attempt was lost: it may have been made
  local since = call('XRANGE', KEYS[5], '(' .. sid(tonumber(ARGV[14])), '+', 'COUNT', 1000)
  local first, final
  for _, entry in ipairs(since) do
    if match(entry[2][2], '^%d+ %d+ ~?%d+ (%S+) ') == ARGV[13] then
      final = unsid(entry[1])
      first = first or final
    end
  end
  if first then
    return { 'ok', epoch, fmt('%.0f', first), fmt('%.0f', final) }
  elseif #since == 1000 then
    return { 'unknown', epoch, '', '' }
  end
end

local channel = ARGV[6]
local kept = read_channel(KEYS[3], channel)
local reserved = string.byte(channel) == 64 -- @
if kept then
  if kept.ended == '1' then
    return { 'ended', epoch, '', '' }
  end
elseif not reserved and call('ZCARD', KEYS[4]) >= tonumber(ARGV[5]) then
  return { 'full', epoch, '', '' }
end
local before
if kept then
  before = fmt('%.0f', kept.last)
else
  if last > 0 and call('EXISTS', KEYS[2]) == 0 then -- all of the index expired
    forgotten = fmt('%.0f', last)
    call('HSET', KEYS[1], 'f', forgotten)
  end
  -- ~: what was before it is forgotten, but is at most this
  before = forgotten == '0' and '0' or '~' .. forgotten
end

local id = math.max((now - EPOCH) * 4096, last + 1)
local first = id
local bytes = kept and kept.bytes or 0
local bytes_before, predecessor = bytes, before
local most, how, few = tonumber(ARGV[9]), '~', false
if most and most < 100 then
  how, few = '=', true
end
local parts = { fmt('1 %s %.0f %s ', epoch, first, before) }
for index = 20, #ARGV do
  local event = ARGV[index]
  local entry = fmt('1 %.0f %s %s ', bytes, predecessor, ARGV[13]) .. event
  if not most then
    call('XADD', KEYS[5], sid(id), 'e', entry)
  elseif few then
    call('XADD', KEYS[5], 'MAXLEN', '=', most, sid(id), 'e', entry)
  else
    call('XADD', KEYS[5], 'MAXLEN', '~', most, 'LIMIT', 200, sid(id), 'e', entry)
  end
  parts[#parts + 1] = #event .. ':' .. event
  bytes = bytes + #event + 64
  predecessor = fmt('%.0f', id)
  id = id + 1
end
local final = predecessor
local events = #ARGV - 19

-- a decaying average with a memory of ten seconds, as the embedded log has it
local rate = 0
if kept then
  local quiet = math.max(0, now - EPOCH - floor(kept.last / 4096))
  rate = kept.rate * math.exp(-quiet / 10000)
end
call('ZADD', KEYS[2], final, channel)
call('HSET', KEYS[3], channel, fmt('%s %.0f %.0f %s', final, bytes, rate + events * 100, ARGV[15]))
call('HSET', KEYS[1], 'i', final)
if not kept and not reserved then
  call('ZADD', KEYS[4], 0, channel)
end

local limit = tonumber(ARGV[11])
if limit and floor(bytes * 16 / limit) ~= floor(bytes_before * 16 / limit) then
  trim_bytes(KEYS[5], bytes, limit)
end
local age, keep = tonumber(ARGV[10]), tonumber(ARGV[12])
local quarter = age and math.max(age / 4, 1)
if age and (not kept or floor(id / 4096 / quarter) ~= floor(kept.last / 4096 / quarter)) then
  trim_age(KEYS[5], now, age)
  -- a net below the trimming; a minute more, since the server's clock is not the log's
  call('PEXPIRE', KEYS[5], fmt('%.0f', age * 1.5 + 60000))
  if keep then
    for index = 2, 4 do
      call('PEXPIRE', KEYS[index], fmt('%.0f', keep * 2 + 60000))
    end
  end
end

if keyed then
  call('HSET', KEYS[7], ARGV[16], fmt('%.0f %s %s %.0f %s', now, ARGV[17], epoch, first, final))
  call('ZADD', KEYS[6], now, ARGV[16])
  local surplus = call('ZCARD', KEYS[6]) - tonumber(ARGV[19])
  local old = call('ZRANGE', KEYS[6], 0, math.min(math.max(surplus, 2), 100) - 1, 'WITHSCORES')
  for index = 1, #old, 2 do
    if index <= surplus * 2 or now - tonumber(old[index + 1]) > tonumber(ARGV[18]) then
      call('ZREM', KEYS[6], old[index])
      call('HDEL', KEYS[7], old[index])
    end
  end
  for index = 6, 7 do
    call('PEXPIRE', KEYS[index], fmt('%.0f', ARGV[18] * 2 + 60000))
  end
end

local message = table.concat(parts)
if not kept and not reserved then
  -- who waits for channels of a pattern has the first events with it, unless they are large
  local events = #message <= 16384 and message or ''
  call('SPUBLISH', ARGV[8], fmt('1 channel %s %.0f ', epoch, first) .. channel .. '\n' .. events)
end
call('SPUBLISH', ARGV[7], message)
return { 'ok', epoch, fmt('%.0f', first), final }
