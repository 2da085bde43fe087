-- Appends publishes of one channel, in order: each all of its events or none.
--
-- KEYS 1 head {v, n, e, r, i, f}: layout, partitions, epoch, replication id that it was confirmed on,
--        last id, highest id that the index has forgotten
--      2 index: channels by last id   3 channels: what is kept of each   4 names, in order
--      5 the channel's stream
--      if any publish has an Idempotency-Key: 6 keys by time   7 keys: what became of each
--      if any publish has a fence, the last one: fences {name: highest token}
-- ARGV 1 epoch, should the log begin   2 replication id of this connection's primary
--      3 the time, empty for the server's   4 number of partitions   5 most channels
--      6 channel   7 shard channel of its events   8 shard channel of the partition's news
--      9 most events, or empty   10 greatest age in ms, or empty   11 most bytes, or empty
--     12 ms after which nobody needs what is kept of a channel, or empty
--     13 last id known before the first attempt, empty if this is it
--     14 "1" if the channel ends with the last event
--     15 window of keys in ms   16 most keys   17 number of publishes
--     18.. of each publish: how many events, a token of its own, its key or empty, the key's fingerprint,
--          its fence or empty, the fence's token
--      .. all events
-- Answer: {"settled", epoch, then of each publish {status, epoch, first id, last id}}; or, when nothing
--      was done, {status, epoch, a, b}
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
local known, window = ARGV[13], tonumber(ARGV[15])
local publishes = tonumber(ARGV[17])
local event = 18 + publishes * 6 -- the next one's

-- What became of the keys that are used here: {fingerprint, epoch, first, last}.
local used, keys = {}, {}
for at = 20, event - 1, 6 do
  if ARGV[at] ~= '' then
    keys[#keys + 1] = ARGV[at]
  end
end
if #keys > 0 then
  for index, text in ipairs(call('HMGET', KEYS[7], unpack(keys))) do
    if text then
      local at, print, of, first, until_ = match(text, '^(%d+) (%x+) (%d+) (%d+) (%d+)$')
      if now - tonumber(at) <= window then
        used[keys[index]] = { print, of, first, until_ }
      end
    end
  end
end

-- The answer to an earlier attempt was lost: what it may have written, by token.
local tried, searched = {}, true
if known ~= '' then
  local since = call('XRANGE', KEYS[5], '(' .. sid(tonumber(known)), '+', 'COUNT', 1000)
  for _, entry in ipairs(since) do
    local token, id = match(entry[2][2], '^%d+ %d+ ~?%d+ (%S+) '), unsid(entry[1])
    if token then
      tried[token] = { tried[token] and tried[token][1] or id, id }
    end
  end
  searched = #since < 1000
end

local channel = ARGV[6]
local kept = read_channel(KEYS[3], channel)
local reserved = string.byte(channel) == 64 -- @
local refusal
if kept then
  refusal = kept.ended == '1' and 'ended'
elseif not reserved and call('ZCARD', KEYS[4]) >= tonumber(ARGV[5]) then
  refusal = 'full'
end
local before
if kept then
  before = fmt('%.0f', kept.last)
else
  if last > 0 and not refusal and call('EXISTS', KEYS[2]) == 0 then -- all of the index expired
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
local most = tonumber(ARGV[9])
local few = most and most < 100
local parts = { fmt('1 %s %.0f %s ', epoch, first, before) }

local function write(from, count, token)
  for index = from, from + count - 1 do
    local text = ARGV[index]
    local entry = fmt('1 %.0f %s %s ', bytes, predecessor, token) .. text
    if not most then
      call('XADD', KEYS[5], sid(id), 'e', entry)
    elseif few then
      call('XADD', KEYS[5], 'MAXLEN', '=', most, sid(id), 'e', entry)
    else
      call('XADD', KEYS[5], 'MAXLEN', '~', most, 'LIMIT', 200, sid(id), 'e', entry)
    end
    parts[#parts + 1] = #text .. ':' .. text
    bytes = bytes + #text + 64
    predecessor = fmt('%.0f', id)
    id = id + 1
  end
end

-- Whether somebody holds the fence since this publish's token was given.
local function fenced(fence, token)
  local highest = fence ~= '' and call('HGET', KEYS[#KEYS], fence)
  return highest and tonumber(token) < tonumber(highest)
end

local answer, outcomes, times, ends = { 'settled', epoch }, {}, {}, '0'
for publish = 1, publishes do
  local at = 12 + publish * 6
  local count, token, key, print = tonumber(ARGV[at]), ARGV[at + 1], ARGV[at + 2], ARGV[at + 3]
  local before_it, attempt = used[key], tried[token]
  if fenced(ARGV[at + 4], ARGV[at + 5]) then
    answer[#answer + 1] = { 'fenced', epoch, '', '' }
  elseif before_it and before_it[1] ~= print then
    answer[#answer + 1] = { 'conflict', epoch, '', '' }
  elseif before_it then
    answer[#answer + 1] = { 'duplicate', before_it[2], before_it[3], before_it[4] }
  elseif attempt then
    answer[#answer + 1] = { 'ok', epoch, fmt('%.0f', attempt[1]), fmt('%.0f', attempt[2]) }
  elseif not searched then
    answer[#answer + 1] = { 'unknown', epoch, '', '' }
  elseif refusal then
    answer[#answer + 1] = { refusal, epoch, '', '' }
  else
    local begins = fmt('%.0f', id)
    write(event, count, token)
    if publish == publishes then
      ends = ARGV[14]
    end
    answer[#answer + 1] = { 'ok', epoch, begins, predecessor }
    if key ~= '' then
      used[key] = { print, epoch, begins, predecessor }
      outcomes[#outcomes + 1] = key
      outcomes[#outcomes + 1] = fmt('%.0f %s %s %s %s', now, print, epoch, begins, predecessor)
      times[#times + 1] = now
      times[#times + 1] = key
    end
  end
  event = event + count
end
local events = #parts - 1
if events == 0 then
  return answer
end
local final = predecessor

-- a decaying average with a memory of ten seconds, as the embedded log has it
local rate = 0
if kept then
  local quiet = math.max(0, now - EPOCH - floor(kept.last / 4096))
  rate = kept.rate * math.exp(-quiet / 10000)
end
call('ZADD', KEYS[2], final, channel)
call('HSET', KEYS[3], channel, fmt('%s %.0f %.0f %s', final, bytes, rate + events * 100, ends))
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

if #outcomes > 0 then
  call('HSET', KEYS[7], unpack(outcomes))
  call('ZADD', KEYS[6], unpack(times))
  local surplus = call('ZCARD', KEYS[6]) - tonumber(ARGV[16])
  local looked = math.min(math.max(surplus, #outcomes), 200)
  local old = call('ZRANGE', KEYS[6], 0, looked - 1, 'WITHSCORES')
  for index = 1, #old, 2 do
    if index <= surplus * 2 or now - tonumber(old[index + 1]) > window then
      call('ZREM', KEYS[6], old[index])
      call('HDEL', KEYS[7], old[index])
    end
  end
  for index = 6, 7 do
    call('PEXPIRE', KEYS[index], fmt('%.0f', window * 2 + 60000))
  end
end

local message = table.concat(parts)
if not kept and not reserved then
  -- who waits for channels of a pattern has the first events with it, unless they are large
  local events = #message <= 16384 and message or ''
  call('SPUBLISH', ARGV[8], fmt('1 channel %s %.0f ', epoch, first) .. channel .. '\n' .. events)
end
call('SPUBLISH', ARGV[7], message)
return answer
