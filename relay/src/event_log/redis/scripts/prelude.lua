#!lua
-- What the scripts of the log share. Put in front of each of them; the first line makes Redis 7
-- refuse a script that is short of memory before it writes, and keys of other slots.
--
-- An id is one integer, (milliseconds - EPOCH) * 4096 + counter, below 2^53, so exact in a double.
-- Lua would write numbers above 1e14 with an exponent: always format them.
local EPOCH = 1600000000000
local call, fmt, floor, match = redis.call, string.format, math.floor, string.match
-- %d is twice as fast as %.0f, and right where a long has 64 bits.
local WHOLE = fmt('%d', 4503599627370496) == '4503599627370496' and '%d' or '%.0f'

-- The id of a stream entry.
local function sid(id)
  return fmt(WHOLE .. '-%d', floor(id / 4096) + EPOCH, id % 4096)
end

-- The inverse.
local function unsid(text)
  local ms, counter = match(text, '^(%d+)-(%d+)$')
  return (tonumber(ms) - EPOCH) * 4096 + tonumber(counter)
end

-- The server's clock in milliseconds, unless a test gives another one.
local function clock(given)
  if given ~= '' then
    return tonumber(given)
  end
  local time = call('TIME')
  return time[1] * 1000 + floor(time[2] / 1000)
end

-- What is kept of a channel: its last id, the bytes ever appended to it, its rate in thousandths of an
-- event a second, and whether it has ended.
local function read_channel(key, channel)
  local kept = call('HGET', key, channel)
  if not kept then
    return nil
  end
  local last, bytes, rate, ended = match(kept, '^(%d+) (%d+) (%d+) ([01])$')
  return { last = tonumber(last), bytes = tonumber(bytes), rate = tonumber(rate), ended = ended }
end

-- Drops what is older than `age` milliseconds. Whole nodes first and at most about 1000 entries, so
-- that a long backlog does not hold up the server; single entries only in the last node.
local function trim_age(stream, now, age)
  local oldest = fmt('%.0f-0', now - age)
  local trimmed = call('XTRIM', stream, 'MINID', '~', oldest, 'LIMIT', 1000)
  if trimmed < 900 then
    call('XTRIM', stream, 'MINID', '=', oldest)
  end
end

-- Brings a stream to at most `limit` bytes, or somewhat below, so that it is not done for each event.
-- An entry starts with the bytes that were appended to the channel before it.
local function trim_bytes(stream, bytes, limit)
  for _ = 1, 16 do
    local oldest = call('XRANGE', stream, '-', '+', 'COUNT', 64)
    if #oldest == 0 then
      return
    end
    local held = bytes - tonumber(match(oldest[1][2][2], '^%d+ (%d+) '))
    if held <= limit then
      return
    end
    local keep
    for index = 2, #oldest do
      held = bytes - tonumber(match(oldest[index][2][2], '^%d+ (%d+) '))
      if held <= limit * 15 / 16 or (index == #oldest and #oldest < 64 and held <= limit) then
        keep = oldest[index][1]
        break
      end
    end
    if keep then
      call('XTRIM', stream, 'MINID', '=', keep)
      return
    elseif #oldest < 64 then
      call('XTRIM', stream, 'MAXLEN', '=', 0)
      return
    end
    call('XTRIM', stream, 'MINID', '=', oldest[64][1])
  end
end
