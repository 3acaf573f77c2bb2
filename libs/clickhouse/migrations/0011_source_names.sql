-- The names of knowledge sources by mode, and by when they were given: test traffic does not rename
-- what live readers see, and an import of old events does not bring old names back.
--
-- `latest` is the greatest of (occurred_at, appended_at, ko, line, name): parts may be merged, and
-- rows written again, in any order. One row a source and mode after merges; rows live for ever.
-- The view comes before the names of earlier rows, so that none is missed in between. What the table
-- `sources` knew and no raw event tells any more is taken for the oldest name of live events. That
-- table stays as it is for services of the release before, which may read it until they are replaced.
-- Sources that count as `other` are never shown, so their names are not kept.

CREATE TABLE IF NOT EXISTS {database}.source_names
(
    project_id LowCardinality(String),
    id         String,
    is_live    Bool,
    latest     SimpleAggregateFunction(max, Tuple(
                   occurred_at DateTime64(3, 'UTC'),
                   appended_at DateTime64(3, 'UTC'),
                   ko          UInt64,
                   line        UInt32,
                   name        String))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, id, is_live);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.source_names_of_events TO {database}.source_names AS
SELECT
    project_id,
    source.id AS id,
    is_live,
    max((occurred_at, appended_at, ko, line, source.name)) AS latest
FROM {database}.events
ARRAY JOIN sources AS source
WHERE source.name != '' AND NOT has(other_keys, source.id)
GROUP BY project_id, id, is_live;

INSERT INTO {database}.source_names
SELECT
    project_id,
    source.id AS id,
    is_live,
    max((occurred_at, appended_at, ko, line, source.name)) AS latest
FROM {database}.events
ARRAY JOIN sources AS source
WHERE type = 'rag.retrieval' AND source.name != '' AND NOT has(other_keys, source.id)
GROUP BY project_id, id, is_live;

INSERT INTO {database}.source_names
SELECT
    project_id,
    id,
    true AS is_live,
    max((toDateTime64(0, 3, 'UTC'), seen_at, 0, 0, name)) AS latest
FROM {database}.sources
WHERE (project_id, id) NOT IN (SELECT project_id, id FROM {database}.source_names)
GROUP BY project_id, id;

DROP VIEW IF EXISTS {database}.sources_of_events;
