-- The conversations of the days since one: (kp UInt16, days since 1970 UInt16, hash, check UInt64).
-- The hashes are those of services/processor/memory.py, conversation_hash. An event is appended at
-- most an hour (of clock skew) before it occurred, hence the bound that skips older months.
WITH concat(project_id, '\0', toString(toUInt8(is_live)), conversation_id) AS conversation
SELECT kp, date, xxh3(conversation), xxh3(concat('\0', conversation))
FROM events
WHERE kp IN {partitions:Array(UInt16)}
  AND date >= {since:Date}
  AND appended_at >= toDateTime64({since:Date}, 3, 'UTC') - INTERVAL 2 HOUR
  AND type = 'chat.message'
  AND first_of_day
