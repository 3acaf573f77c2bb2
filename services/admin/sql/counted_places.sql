-- The last record of each partition that left a row, and when Kafka appended it, from the projection
-- `ledger`.
SELECT kp, max(ko), toUnixTimestamp64Milli(max(appended_at))
FROM events
WHERE topic = {topic:String}
GROUP BY kp
ORDER BY kp
