-- When Kafka appended the last event that was counted, of each partition of the topic and of all others
-- together (partition 65535, whose ids may belong to any), from the projection `ledger`.
SELECT toUInt16(if(topic = {topic:String}, kp, 65535)) AS partition,
    toUnixTimestamp64Milli(max(appended_at))
FROM events
GROUP BY partition
