-- Brings one channel within its limits, and forgets it when nobody needs to know of it any more.
--
-- KEYS 1 head   2 index   3 channels   4 names   5 the channel's stream   6 purges
-- ARGV 1 channel   2 the time, empty for the server's
--      3 most events, or empty   4 greatest age in ms, or empty   5 most bytes, or empty
-- Answer: "kept" or "forgotten"
local channel = ARGV[1]
local kept = read_channel(KEYS[3], channel)
if not kept then -- only a part is left: what expired, or a script that was cut off
  local last = call('ZSCORE', KEYS[2], channel)
  if last then
    kept = { last = tonumber(last), bytes = 0 }
  else
    return 'forgotten'
  end
end
local now, age = clock(ARGV[2]), tonumber(ARGV[4])
if ARGV[3] ~= '' then
  call('XTRIM', KEYS[5], 'MAXLEN', tonumber(ARGV[3]) < 100 and '=' or '~', ARGV[3])
end
if ARGV[5] ~= '' then
  trim_bytes(KEYS[5], kept.bytes, tonumber(ARGV[5]))
end
if age then
  trim_age(KEYS[5], now, age)
  local idle = now - EPOCH - floor(kept.last / 4096)
  if idle > age * 2 and call('XLEN', KEYS[5]) == 0 then
    call('DEL', KEYS[5])
    call('ZREM', KEYS[2], channel)
    call('HDEL', KEYS[3], channel)
    call('ZREM', KEYS[4], channel)
    call('HDEL', KEYS[6], channel)
    local forgotten = tonumber(call('HGET', KEYS[1], 'f') or '0')
    if kept.last > forgotten then
      call('HSET', KEYS[1], 'f', fmt('%.0f', kept.last))
    end
    return 'forgotten'
  end
end
return 'kept'
