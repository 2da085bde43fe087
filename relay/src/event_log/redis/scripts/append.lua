-- Appends publishes of some channels, in order: each all of its events or none. What fails in one
-- channel concerns no other.
--
-- KEYS 1 head {v, n, e, r, i, f}: layout, partitions, epoch, replication id that it was confirmed on,
--        last id, highest id that the index has forgotten
--      2 index: channels by last id   3 channels: what is kept of each   4 names, in order
--      5.. the stream of each channel
--      .. if any publish has an Idempotency-Key: keys by time, and what became of each key
--      .. if any publish has a fence: fences {name: highest token}
-- ARGV 1 epoch, should the log begin   2 replication id of this connection's primary
--      3 the time, empty for the server's   4 number of partitions   5 most channels
--      6 shard channel of the partition's news
--      7 ms after which nobody needs what is kept of a channel, or empty
--      8 last id known before the first attempt, empty if this is it
--      9 window of keys in ms   10 most keys
--     11 number of channels   12 number of keys   13 number of retentions
--     14.. the channels' names; the keys; of each retention most events or empty, greatest age in ms or
--          empty, most bytes or empty; then of each channel the shard channel of its events, which of the
--          retentions it has, number of publishes, and of each publish how many events, and behind it "k"
--          if it has a key, "f" if it has a fence, "e" if it ends the channel; a token of its own; which
--          of the keys and its fingerprint, if it has one; the fence and its token, if it has one; and
--          the events
-- Answer: {"settled", epoch, then of each publish "ok FIRST LAST", "duplicate EPOCH FIRST LAST", "failed
--      WHAT REDIS SAID" or one word}; or, when nothing was done, {status, epoch, a, b}
--
-- What costs here: commands; each text that is made, an argument as well; tables, in the answer most;
-- tonumber, which parses twice what an addition parses once.
local head = call('HMGET', KEYS[1], 'e', 'r', 'i', 'f', 'n')
local epoch, last, forgotten = head[1], (head[3] or 0) + 0, head[4] or '0'
if not epoch then
  epoch = ARGV[1]
  call('HSET', KEYS[1], 'v', '1', 'n', ARGV[4], 'e', epoch, 'r', ARGV[2], 'i', '0', 'f', '0')
elseif head[2] ~= ARGV[2] then
  return { 'recheck', epoch, head[3], head[2] }
elseif head[5] ~= ARGV[4] then
  return { 'partitions', epoch, head[5], '' }
end

local now, known, count = clock(ARGV[3]), ARGV[8], ARGV[11] + 0
local streams = 4 -- the keys before them
local keys_by_time, outcomes_of_keys = KEYS[streams + count + 1], KEYS[streams + count + 2]
local names = 13 -- the arguments before them
local keys, number_of_keys = names + count, ARGV[12] + 0
local at = keys + number_of_keys + 1

local retentions = {}
for index = 1, ARGV[13] do
  local age = tonumber(ARGV[at + 1])
  retentions[index] = {
    most = ARGV[at],
    strict = #ARGV[at] < 3, -- below a hundred
    age = age,
    quarter = age and math.max(age / 4, 1),
    bytes = tonumber(ARGV[at + 2]),
  }
  at = at + 3
end

-- What became of keys: {fingerprint, epoch, first, last}.
local used, window = {}, ARGV[9] + 0
if number_of_keys > 0 then
  for index, text in ipairs(call('HMGET', outcomes_of_keys, unpack(ARGV, keys + 1, keys + number_of_keys))) do
    if text then
      local time, print, of, first, until_ = match(text, '^(%d+) (%x+) (%d+) (%d+) (%d+)$')
      if now - tonumber(time) <= window then
        used[ARGV[keys + index]] = { print, of, first, until_ }
      end
    end
  end
end

-- The answer to an earlier attempt was lost: what it may have written, by token, and whether that is all.
local function tried_before(stream)
  local tried = {}
  local since = call('XRANGE', stream, '(' .. sid(tonumber(known)), '+', 'COUNT', 1000)
  for _, entry in ipairs(since) do
    local token, id = match(entry[2][2], '^%d+ %d+ ~?%d+ (%S+) '), fmt(WHOLE, unsid(entry[1]))
    if token then
      tried[token] = { tried[token] and tried[token][1] or id, id }
    end
  end
  return tried, #since < 1000
end

local kept = call('HMGET', KEYS[3], unpack(ARGV, names + 1, names + count))
local id = math.max((now - EPOCH) * 4096, last + 1)
local answer, outcomes, times = { 'settled', epoch }, {}, {}
-- by channel: ids for the index, what is to be kept, messages
local scores, keeps, messages, new = {}, {}, {}, {}
local lasting -- ms for what is kept of channels, when that is due

-- The publish whose arguments begin there: how many events it has, whether it ends the channel, its key
-- and the key's fingerprint, its fence and the fence's token, and where its events begin.
local function publish_at(from)
  if ARGV[from] == '1' then -- most are so
    return 1, false, nil, nil, nil, nil, from + 2
  end
  local events, keyed, fenced, ends = match(ARGV[from], '^(%d+)(k?)(f?)(e?)$')
  local key, print, fence, fence_token
  from = from + 2
  if keyed ~= '' then
    key, print, from = ARGV[keys + ARGV[from]], ARGV[from + 1], from + 2
  end
  if fenced ~= '' then
    fence, fence_token, from = ARGV[from], ARGV[from + 1], from + 2
  end
  return tonumber(events), ends ~= '', key, print, fence, fence_token, from
end

-- Where the arguments of the next channel begin.
local function after(at)
  local from = at + 3
  for _ = 1, ARGV[at + 2] do
    local count, _, _, _, _, _, events = publish_at(from)
    from = events + count
  end
  return from
end

-- Whether somebody else holds the fence since this publish's token was given.
local function is_fenced(fence, token)
  local highest = call('HGET', KEYS[#KEYS], fence)
  return highest and tonumber(token) < tonumber(highest)
end

-- Appends the publishes of one channel, from this argument on; where the next one's begin.
local function append(channel, stream, at, kept)
  local retention = retentions[ARGV[at + 1] + 0]
  local most, limit = retention.most, retention.bytes
  local reserved = string.byte(channel) == 64 -- @
  local before, bytes_text, rate, ended, refusal
  if kept then
    before, bytes_text, rate, ended = match(kept, '^(%d+) (%d+) (%d+) ([01])$')
    refusal = ended == '1' and 'ended'
  else
    bytes_text, rate = '0', 0
    if not reserved and call('ZCARD', KEYS[4]) >= tonumber(ARGV[5]) then
      refusal = 'full'
    elseif last > 0 and call('EXISTS', KEYS[2]) == 0 then -- all of the index expired
      forgotten = fmt(WHOLE, last)
      call('HSET', KEYS[1], 'f', forgotten)
    end
    -- ~: what was before it is forgotten, but is at most this
    before = forgotten == '0' and '0' or '~' .. forgotten
  end
  local tried, searched
  if known ~= '' then
    tried, searched = tried_before(stream)
  end

  local bytes, predecessor, message, more, events = bytes_text + 0, before, nil, nil, 0
  local bytes_before, ends = bytes, '0'
  local from = at + 3
  for _ = 1, ARGV[at + 2] do
    local token = ARGV[from + 1]
    local count, ends_it, key, print, fence, fence_token, texts = publish_at(from)
    local before_it, attempt, outcome = key and used[key], tried and tried[token], nil
    if fence and is_fenced(fence, fence_token) then
      outcome = 'fenced'
    elseif before_it and before_it[1] ~= print then
      outcome = 'conflict'
    elseif before_it then
      outcome = 'duplicate ' .. before_it[2] .. ' ' .. before_it[3] .. ' ' .. before_it[4]
    elseif attempt then
      outcome = 'ok ' .. attempt[1] .. ' ' .. attempt[2]
    elseif tried and not searched then
      outcome = 'unknown'
    elseif refusal then
      outcome = refusal
    else
      local first
      for index = texts, texts + count - 1 do
        local text, own = ARGV[index], fmt(WHOLE, id)
        local entry = '1 ' .. bytes_text .. ' ' .. predecessor .. ' ' .. token .. ' ' .. text
        if most == '' then
          call('XADD', stream, sid(id), 'e', entry)
        elseif retention.strict then
          call('XADD', stream, 'MAXLEN', '=', most, sid(id), 'e', entry)
        else
          call('XADD', stream, 'MAXLEN', '~', most, 'LIMIT', '200', sid(id), 'e', entry)
        end
        if message then
          more = more or { message }
          more[#more + 1] = fmt('%d:', #text) .. text
        else
          message = '1 ' .. epoch .. ' ' .. own .. ' ' .. before .. fmt(' %d:', #text) .. text
        end
        bytes = bytes + #text + 64
        bytes_text = fmt(WHOLE, bytes)
        first, predecessor = first or own, own
        id = id + 1
      end
      events = events + count
      if ends_it then
        ends = '1'
      end
      outcome = 'ok ' .. first .. ' ' .. predecessor
      if key then
        used[key] = { print, epoch, first, predecessor }
        outcomes[#outcomes + 1] = key
        outcomes[#outcomes + 1] = fmt('%.0f %s %s %s %s', now, print, epoch, first, predecessor)
        times[#times + 1] = now
        times[#times + 1] = key
      end
    end
    answer[#answer + 1] = outcome
    from = texts + count
  end
  if events == 0 then
    return from
  end

  -- a decaying average with a memory of ten seconds, as the embedded log has it
  local passed = kept and floor(before / 4096)
  if kept then
    rate = rate * math.exp(-math.max(0, now - EPOCH - passed) / 10000)
  elseif not reserved then
    call('ZADD', KEYS[4], 0, channel)
  end
  if limit and floor(bytes * 16 / limit) ~= floor(bytes_before * 16 / limit) then
    trim_bytes(stream, bytes, limit)
  end
  local age, quarter = retention.age, retention.quarter
  if age and (not kept or floor(id / 4096 / quarter) ~= floor(passed / quarter)) then
    trim_age(stream, now, age)
    -- a net below the trimming; a minute more, since the server's clock is not the log's
    call('PEXPIRE', stream, fmt('%.0f', age * 1.5 + 60000))
    lasting = lasting or tonumber(ARGV[7])
  end
  local own = #scores
  scores[own + 1], scores[own + 2] = predecessor, channel
  keeps[own + 1], keeps[own + 2] = channel, predecessor .. ' ' .. bytes_text .. fmt(' %d ', rate + events * 100) .. ends
  messages[own + 1], messages[own + 2] = ARGV[at], more and table.concat(more) or message
  if not kept and not reserved then
    new[own + 1] = fmt('1 channel %s %s ', epoch, match(message, '^1 %d+ (%d+)')) .. channel .. '\n'
  end
  return from
end

local first = id
for index = 1, count do
  local settled, stored = #answer, #outcomes
  local done, next_ = pcall(append, ARGV[names + index], KEYS[streams + index], at, kept[index])
  if not done then
    -- what it wrote is in its stream alone, and is not told; what became of it nobody knows
    local why = type(next_) == 'table' and next_.err or tostring(next_)
    for place = settled + 1, settled + ARGV[at + 2] do
      answer[place] = 'failed ' .. why
    end
    for place = #outcomes, stored + 1, -1 do
      outcomes[place], times[place] = nil, nil
    end
    next_ = after(at)
  end
  at = next_
end
if id == first then
  return answer
end
call('HSET', KEYS[1], 'i', fmt(WHOLE, id - 1))
if #scores == 0 then
  return answer
end
call('ZADD', KEYS[2], unpack(scores))
call('HSET', KEYS[3], unpack(keeps))
if lasting then
  for index = 2, 4 do
    call('PEXPIRE', KEYS[index], fmt('%.0f', lasting * 2 + 60000))
  end
end

if #outcomes > 0 then
  call('HSET', outcomes_of_keys, unpack(outcomes))
  call('ZADD', keys_by_time, unpack(times))
  local surplus = call('ZCARD', keys_by_time) - tonumber(ARGV[10])
  local looked = math.min(math.max(surplus, #outcomes), 200)
  local old = call('ZRANGE', keys_by_time, 0, looked - 1, 'WITHSCORES')
  for index = 1, #old, 2 do
    if index <= surplus * 2 or now - tonumber(old[index + 1]) > window then
      call('ZREM', keys_by_time, old[index])
      call('HDEL', outcomes_of_keys, old[index])
    end
  end
  for index = 1, 2 do
    call('PEXPIRE', KEYS[streams + count + index], fmt('%.0f', window * 2 + 60000))
  end
end

for index = 1, #messages, 2 do
  local message = messages[index + 1]
  if new[index] then
    -- who waits for channels of a pattern has the first events with it, unless they are large
    call('SPUBLISH', ARGV[6], new[index] .. (#message <= 16384 and message or ''))
  end
  call('SPUBLISH', messages[index], message)
end
return answer
