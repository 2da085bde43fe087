-- Drops all events of a channel. The channel stays known, so that who missed some is told.
--
-- KEYS 1 the channel's stream
-- Answer: how many events it had
local events = call('XLEN', KEYS[1])
call('DEL', KEYS[1])
return events
