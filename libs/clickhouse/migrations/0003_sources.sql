-- The last name seen of each knowledge source.
--
-- The sorting key serves the names of one project's sources. One row a source after merges; until
-- then readers take the latest by `seen_at`. Rows live for ever.

CREATE TABLE IF NOT EXISTS {database}.sources
(
    project_id LowCardinality(String),
    id         String,
    name       String,
    seen_at    DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY (project_id, id);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.sources_of_events TO {database}.sources AS
SELECT
    project_id,
    source.id AS id,
    argMax(source.name, (appended_at, ko, line)) AS name,
    max(appended_at) AS seen_at
FROM {database}.events
ARRAY JOIN sources AS source
WHERE source.name != ''
GROUP BY project_id, id;
