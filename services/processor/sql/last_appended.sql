-- When Kafka appended the last event of each partition, of whatever topic, from the projection `ledger`.
SELECT kp, toUnixTimestamp64Milli(max(appended_at))
FROM events
WHERE kp IN {partitions:Array(UInt16)}
GROUP BY kp
