-- The names of the sources that the last insert into each partition cited: their part may be the one
-- that a kill kept from being written. Names that are there already are written once more, which
-- changes nothing. An interrupted insert has the latest lease of its partition.
INSERT INTO sources (project_id, id, name, seen_at)
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
    argMax(source.name, (appended_at, ko, line)) AS name,
    max(appended_at) AS seen_at
FROM events
ARRAY JOIN sources AS source
WHERE type = 'rag.retrieval'
  AND (project_id, is_live, date) IN (SELECT project_id, is_live, date FROM last)
  AND (kp, project_id, is_live, date) IN (SELECT kp, project_id, is_live, date FROM last)
  AND source.name != ''
GROUP BY project_id, id
