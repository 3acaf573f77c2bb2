-- Takes so much of each window, or of each no more than its fee where one would have too much. One
-- step of the store: whoever asks, on whichever replica, sees numbers of its own and the same ends.
--
-- KEYS: the windows. ARGV, seven for each: limit, amount, fee, length of the window in ms; then what
-- the asking process knows of it: taken, how much of that was not told here, end in ms (0: nothing).
-- Answers: now in ms, then for each window: whether it had room (1 or 0), taken, end in ms.

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local windows, all_fit = {}, true

for number, name in ipairs(KEYS) do
    local at = (number - 1) * 7
    local limit, amount, fee, length = tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]),
        tonumber(ARGV[at + 3]), tonumber(ARGV[at + 4])
    local known_taken, untold, known_reset = tonumber(ARGV[at + 5]), tonumber(ARGV[at + 6]),
        tonumber(ARGV[at + 7])
    local found = redis.call('HMGET', name, 'taken', 'reset')
    local taken, reset = tonumber(found[1] or nil), tonumber(found[2] or nil)
    local is_known = known_reset > now

    if not reset or reset <= now then
        -- A window that this store has lost goes on where the process stands that asks first.
        taken = is_known and known_taken or 0
        reset = is_known and math.min(known_reset, now + length) or now + length
    elseif is_known then
        taken = taken + untold
    end

    local fits = taken + amount <= limit
    all_fit = all_fit and fits
    windows[number] = {limit, amount, fee, taken, reset, fits}
end

local answer = {now}
for number, name in ipairs(KEYS) do
    local limit, amount, fee, taken, reset, fits = unpack(windows[number])
    taken = taken + (all_fit and amount or math.min(fee, math.max(0, limit - taken)))
    redis.call('HSET', name, 'taken', taken, 'reset', reset)
    redis.call('PEXPIREAT', name, reset)
    table.insert(answer, fits and 1 or 0)
    table.insert(answer, taken)
    table.insert(answer, reset)
end
return answer
