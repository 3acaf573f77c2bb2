-- The days and partitions with events that are few enough to be compared in seconds.
SELECT date, kp
FROM daily_counts
WHERE category = '_events' AND date BETWEEN {since:Date} AND today()
GROUP BY date, kp
HAVING sum(value) <= {most:UInt64}
ORDER BY date, kp
