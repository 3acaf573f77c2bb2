-- Which lines of which records of a partition left rows, from an offset on.
SELECT ko, groupArray(line)
FROM events
WHERE topic = {topic:String} AND kp = {partition:UInt16} AND ko >= {first:UInt64}
GROUP BY ko
