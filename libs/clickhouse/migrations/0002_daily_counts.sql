-- The rolling daily counts that the analytics endpoint reads.
--
-- The sorting key serves one project's days of one category, and of all of them. It ends with the Kafka
-- partition so that the owner of a partition can compare and mend its own rows and nobody else's.
-- `value` is signed: after a loss of power the mending may have to take something away.
-- Cost: a few rows an insert and day, merged to one for each (key, partition). Rows live for ever.

CREATE TABLE IF NOT EXISTS {database}.daily_counts
(
    project_id LowCardinality(String),
    is_live    Bool,
    category   LowCardinality(String),
    date       Date,
    key        String,
    kp         UInt16,
    value      Int64
)
ENGINE = SummingMergeTree(value)
ORDER BY (project_id, is_live, category, date, key, kp);

CREATE MATERIALIZED VIEW IF NOT EXISTS {database}.daily_counts_of_events TO {database}.daily_counts AS
SELECT
    project_id,
    is_live,
    count.category AS category,
    date,
    count.key AS key,
    kp,
    sum(count.value) AS value
FROM {database}.events
ARRAY JOIN counts AS count
GROUP BY project_id, is_live, category, date, key, kp;
