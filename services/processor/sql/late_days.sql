-- All of some days of a project in some partitions: (days since 1970 UInt16, identity UInt128,
-- conversation UInt128), the latter 0 but for the first message of its conversation. What came by another topic belongs to the partition that
-- its key has here (libs/events/partitions.py).
WITH
    concat(project_id, ':', if(startsWith(type, 'session.'), session_id, conversation_id)) AS key,
    toUInt16(if(topic = {topic:String}, kp, CRC32(key) % {number_of_partitions:UInt16})) AS partition
SELECT date, identity, if(type = 'chat.message' AND first_of_day, conversation, toUInt128(0))
FROM events
WHERE project_id = {project:String}
  AND is_live = {is_live:Bool}
  AND date IN {days:Array(Date)}
  AND partition IN {partitions:Array(UInt16)}
LIMIT {limit:UInt32}
