-- Rows that stand twice: a record's line has one place in Kafka, and one row at most.
SELECT topic, kp, ko, line, count() AS rows
FROM events
WHERE kp = {partition:UInt16} AND date >= {since:Date}
GROUP BY topic, kp, ko, line
HAVING rows > 1
ORDER BY topic, kp, ko, line
LIMIT 1
