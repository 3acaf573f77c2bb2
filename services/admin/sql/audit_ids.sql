-- Events that were counted twice within 24 hours of append time, in one partition; and such that were
-- counted again later, though they had occurred before the window: since late events are looked up. What
-- came by another topic belongs to the partition that its key has here: duplicates are known over a move.
WITH
    concat(project_id, ':', if(startsWith(type, 'session.'), session_id, conversation_id)) AS partition_key,
    CRC32(partition_key) % {number_of_partitions:UInt16} AS moved,
    toUnixTimestamp64Milli(appended_at) AS appended_ms,
    (SELECT max(toUnixTimestamp64Milli(applied_at)) FROM migrations WHERE number = 9) AS looked_up_since_ms
SELECT
    project_id, id,
    arraySort(groupArray((appended_ms, toUnixTimestamp64Milli(occurred_at), date))) AS copies
FROM events
WHERE if(topic = {topic:String}, kp, moved) = {partition:UInt16} AND date >= {since:Date}
GROUP BY project_id, id, identity
HAVING count() > 1 AND arrayExists(
    (copy, before) ->
        copy.1 - before.1 < 24 * 3600 * 1000
        OR (copy.3 = before.3 AND before.1 > looked_up_since_ms AND copy.2 < copy.1 - 23 * 3600 * 1000),
    arrayPopFront(copies), arrayPopBack(copies))
ORDER BY project_id, id
LIMIT 1
