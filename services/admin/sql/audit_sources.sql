-- Sources that an event named and that have no name, or only an older one.
SELECT project_id, id, named_at, seen_at
FROM
(
    SELECT project_id, source.id AS id, max(appended_at) AS named_at
    FROM events
    ARRAY JOIN sources AS source
    WHERE kp = {partition:UInt16} AND date >= {since:Date} AND source.name != ''
    GROUP BY project_id, id
) AS named
LEFT JOIN
(
    SELECT project_id, id, max(seen_at) AS seen_at
    FROM sources
    GROUP BY project_id, id
) AS kept USING (project_id, id)
WHERE seen_at < named_at
ORDER BY project_id, id
LIMIT 1
