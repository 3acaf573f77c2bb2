-- The events that were counted within the window before the last event of their partition:
-- (partition UInt16, bucket of append time UInt32, identity UInt128). `since_ms` belongs to `partitions`,
-- one by one; `earliest_ms` is the least of it, for the index. What came by another topic belongs to
-- the partition that its key has here (libs/events/partitions.py).
WITH
    concat(project_id, ':', if(startsWith(type, 'session.'), session_id, conversation_id)) AS key,
    toUInt16(if(topic = {topic:String}, kp, CRC32(key) % {number_of_partitions:UInt16})) AS partition
SELECT
    partition,
    toUInt32(intDiv(toUnixTimestamp64Milli(appended_at), {bucket_ms:Int64})),
    identity
FROM events
WHERE appended_at >= fromUnixTimestamp64Milli({earliest_ms:Int64}, 'UTC')
  AND partition IN {partitions:Array(UInt16)}
  AND toUnixTimestamp64Milli(appended_at)
      >= arrayElement({since_ms:Array(Int64)}, indexOf({partitions:Array(UInt16)}, partition))
