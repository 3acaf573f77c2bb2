-- Takes so much of a window, or nothing where it would be too much. One step of the store: whoever
-- asks, on whichever replica, sees a number of its own and the same end of the window.
--
-- KEYS[1]: the window. ARGV: limit, amount, length of a window in ms; then what the asking process
-- knows of the window: taken, how much of that was not told here, end in ms (0: nothing).
-- Answers: allowed (1 or 0), taken, end in ms, now in ms.

local limit, amount, length = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local known_taken, untold, known_reset = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local found = redis.call('HMGET', KEYS[1], 'taken', 'reset')
local taken, reset = tonumber(found[1] or nil), tonumber(found[2] or nil)
local is_known = known_reset > now

if not reset or reset <= now then
    -- A window that this store has lost goes on where the process stands that asks first.
    taken = is_known and known_taken or 0
    reset = is_known and math.min(known_reset, now + length) or now + length
elseif is_known then
    taken = taken + untold
end

local allowed = taken + amount <= limit
if allowed then
    taken = taken + amount
end
redis.call('HSET', KEYS[1], 'taken', taken, 'reset', reset)
redis.call('PEXPIREAT', KEYS[1], reset)
return {allowed and 1 or 0, taken, reset, now}
