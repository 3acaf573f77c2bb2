-- The hashes of the ids that were counted in a stretch of append time: (kp UInt16, hash UInt64).
-- The hash is that of services/processor/memory.py, id_hash.
SELECT kp, xxh3(concat(project_id, '\0', id))
FROM events
WHERE kp IN {partitions:Array(UInt16)}
  AND appended_at >= fromUnixTimestamp64Milli({from_ms:Int64}, 'UTC')
  AND appended_at < fromUnixTimestamp64Milli({to_ms:Int64}, 'UTC')
