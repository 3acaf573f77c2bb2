-- Conversations of which not exactly one message of a day is the first: they would count twice, or not.
-- What came by another topic belongs to the partition that its key has here: days go on over a move.
WITH
    CRC32(concat(project_id, ':', conversation_id)) % {number_of_partitions:UInt16} AS moved
SELECT project_id, is_live, date, conversation_id, countIf(first_of_day) AS firsts
FROM events
WHERE if(topic = {topic:String}, kp, moved) = {partition:UInt16}
  AND date >= {since:Date} AND type = 'chat.message'
GROUP BY project_id, is_live, date, conversation_id
HAVING firsts != 1
ORDER BY project_id, is_live, date, conversation_id
LIMIT 1
