-- The conversations of the days since one: (partition UInt16, days since 1970 UInt16, conversation
-- UInt128). What came by another topic belongs to the partition that its key has here. An event is
-- appended at most an hour (of clock skew) before it occurred, hence the bound that skips older months.
WITH
    CRC32(concat(project_id, ':', conversation_id)) % {number_of_partitions:UInt16} AS moved,
    toUInt16(if(topic = {topic:String}, kp, moved)) AS partition
SELECT partition, date, conversation
FROM events
WHERE date >= {since:Date}
  AND appended_at >= toDateTime64({since:Date}, 3, 'UTC') - INTERVAL 2 HOUR
  AND type = 'chat.message'
  AND first_of_day
  AND partition IN {partitions:Array(UInt16)}
