-- When Kafka appended the counted events with these ids, and when they occurred, by who they are.
SELECT identity, groupArray((toUnixTimestamp64Milli(appended_at), toUnixTimestamp64Milli(occurred_at)))
FROM events
WHERE project_id IN {projects:Array(String)} AND id IN {ids:Array(String)}
GROUP BY identity
