-- Statements of the last 45 days that took rows out of our tables, as far as ClickHouse remembers them. Not
-- one is ours: a table, how many, and when the last was given.
SELECT table, count(), toString(max(create_time), 'UTC')
FROM system.mutations
WHERE database = currentDatabase()
  AND table IN ('events', 'daily_counts', 'source_names')
  AND (command ILIKE '%DELETE%' OR command LIKE '%_row_exists%')
  AND create_time > now() - INTERVAL 45 DAY
GROUP BY table
ORDER BY table
