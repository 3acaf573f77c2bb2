-- Sources that an event named and that have no name, or only an older one.
SELECT project_id, id, is_live, tupleElement(named, 5) AS name, tupleElement(kept, 5) AS shown
FROM
(
    SELECT
        project_id,
        source.id AS id,
        is_live,
        max((occurred_at, appended_at, ko, line, source.name)) AS named
    FROM events
    ARRAY JOIN sources AS source
    WHERE kp = {partition:UInt16} AND date >= {since:Date}
      AND source.name != '' AND NOT has(other_keys, source.id)
    GROUP BY project_id, id, is_live
) AS named
LEFT JOIN
(
    SELECT project_id, id, is_live, max(latest) AS kept
    FROM source_names
    GROUP BY project_id, id, is_live
) AS kept USING (project_id, id, is_live)
WHERE kept < named
ORDER BY project_id, id, is_live
LIMIT 1
