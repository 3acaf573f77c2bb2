-- Of ids whose hashes were seen before: which were counted in the window, and when Kafka appended them.
SELECT project_id, id, toUnixTimestamp64Milli(max(appended_at))
FROM events
WHERE project_id IN {projects:Array(String)}
  AND id IN {ids:Array(String)}
  AND appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
GROUP BY project_id, id
