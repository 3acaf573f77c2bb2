-- Of events that only a filter remembers: which were counted since: (identity UInt128).
SELECT DISTINCT identity
FROM events
WHERE project_id IN {projects:Array(String)}
  AND id IN {ids:Array(String)}
  AND appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
