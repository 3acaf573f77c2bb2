-- Ids that were counted twice within 24 hours of append time, in one partition. What came by another
-- topic belongs to the partition that its key has here: repeats are known over a move.
WITH
    concat(project_id, ':', if(startsWith(type, 'session.'), session_id, conversation_id)) AS partition_key,
    CRC32(partition_key) % {number_of_partitions:UInt16} AS moved
SELECT project_id, id, arraySort(groupArray(toUnixTimestamp64Milli(appended_at))) AS times
FROM events
WHERE if(topic = {topic:String}, kp, moved) = {partition:UInt16} AND date >= {since:Date}
GROUP BY project_id, id
HAVING count() > 1 AND arrayExists(gap -> gap < 24 * 3600 * 1000, arrayPopFront(arrayDifference(times)))
ORDER BY project_id, id
LIMIT 1
