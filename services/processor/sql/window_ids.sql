-- The ids that were counted within the window before the last event of their partition:
-- (kp UInt16, bucket of append time UInt32, hash UInt64). `since_ms` belongs to `partitions`, one by
-- one; `earliest_ms` is the least of it, for the index. The hash is that of memory.py, id_hash.
SELECT
    kp,
    toUInt32(intDiv(toUnixTimestamp64Milli(appended_at), {bucket_ms:Int64})),
    xxh3(concat(project_id, '\0', id))
FROM events
WHERE kp IN {partitions:Array(UInt16)}
  AND appended_at >= fromUnixTimestamp64Milli({earliest_ms:Int64}, 'UTC')
  AND toUnixTimestamp64Milli(appended_at)
      >= arrayElement({since_ms:Array(Int64)}, indexOf({partitions:Array(UInt16)}, kp))
