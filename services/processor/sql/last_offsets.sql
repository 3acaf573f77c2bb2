-- The last record of each partition that is in the table and when Kafka appended it, from the
-- projection `ledger`. Append times grow with the offsets, so both maxima are of one record.
SELECT kp, max(ko), toUnixTimestamp64Milli(max(appended_at))
FROM events
WHERE topic = {topic:String} AND kp IN {partitions:Array(UInt16)}
GROUP BY kp
