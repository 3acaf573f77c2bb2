-- Which lines of which records of a partition left rows, from an offset on, and when Kafka appended these.
SELECT ko, toUnixTimestamp64Milli(max(appended_at)), groupArray(line)
FROM events
WHERE topic = {topic:String} AND kp = {partition:UInt16} AND ko >= {first:UInt64}
GROUP BY ko
