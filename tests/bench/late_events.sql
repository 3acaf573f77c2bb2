-- Which events of one project lie in the table when late events are looked for? Rows `first` to
-- `first + rows` of `sessions` times ten, the oldest first; `tests/bench/late_events.py` has the same
-- formulas, and sends some of them again.
--
-- Sessions of ten events, each on one day; names and ids are random hexadecimal digits, as they are in
-- life. (Leases lie ahead, or the table refuses them. The offset is that of the first record of each
-- partition, which the processor has behind it: it must find nothing that is yet to come.)

INSERT INTO events (project_id, is_live, id, type, occurred_at, accepted_at, session_id,
    conversation_id, role, action, topic, appended_at, kp, ko, line, first_of_day, lease)
WITH
    intDiv(number, 10) AS session,
    number % 10 AS place,
    intDiv({sessions:UInt64}, {days:UInt64}) AS a_day,
    toInt64(({first_day:UInt64} + intDiv(session, a_day)) * 86400000
        + intDiv((session % a_day) * 86000000, a_day) + place * 20000) AS occurred_ms,
    lower(hex(MD5(concat('planted-session-', toString(session))))) AS session_name,
    if(place = 0, '', lower(hex(MD5(concat('planted-talk-', toString(session)))))) AS talk,
    multiIf(place = 0, 'session.started', place < 5, 'chat.message', 'chat.action') AS kind
SELECT
    {project:String},
    true,
    lower(hex(MD5(concat('planted-event-', toString(number))))),
    kind,
    fromUnixTimestamp64Milli(occurred_ms, 'UTC'),
    fromUnixTimestamp64Milli(occurred_ms + 50, 'UTC'),
    session_name,
    talk,
    multiIf(kind != 'chat.message', '', place % 2 = 1, 'user', 'assistant'),
    if(kind = 'chat.action', concat('action-', toString(place)), ''),
    {topic:String},
    fromUnixTimestamp64Milli(occurred_ms + 60, 'UTC'),
    CRC32(concat({project:String}, ':', if(talk = '', session_name, talk))) % {partitions:UInt16},
    0,
    toUInt32(1000000 + number),
    place = 1,
    now64(3) + INTERVAL 1 HOUR
FROM numbers({first:UInt64}, {rows:UInt64})
