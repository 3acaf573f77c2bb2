-- The names of the sources that the last insert into each partition cited: their part may be the one
-- that a kill kept from being written. Names that are there already are written once more, which
-- changes nothing. An interrupted insert has the latest lease of its partition.
INSERT INTO source_names (project_id, id, is_live, latest)
WITH last AS
(
    SELECT kp, project_id, is_live, date
    FROM
    (
        SELECT kp, project_id, is_live, date, max(lease) AS latest
        FROM events
        WHERE kp IN {partitions:Array(UInt16)}
        GROUP BY kp, project_id, is_live, date
    )
    QUALIFY latest >= max(latest) OVER (PARTITION BY kp) - INTERVAL 1 MINUTE
)
SELECT
    project_id,
    source.id AS id,
    is_live,
    max((occurred_at, appended_at, ko, line, source.name)) AS latest
FROM events
ARRAY JOIN sources AS source
WHERE type = 'rag.retrieval'
  AND (project_id, is_live, date) IN (SELECT project_id, is_live, date FROM last)
  AND (kp, project_id, is_live, date) IN (SELECT kp, project_id, is_live, date FROM last)
  AND source.name != '' AND NOT has(other_keys, source.id)
GROUP BY project_id, id, is_live
