-- The partitions that have rows: an older topic may have had more of them.
SELECT DISTINCT kp FROM (SELECT kp FROM events UNION ALL SELECT kp FROM daily_counts)
