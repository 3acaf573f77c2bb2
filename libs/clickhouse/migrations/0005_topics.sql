-- How many partitions each topic of events was made with. A conversation's partition follows from the
-- number: where it changed, repeats and conversations would count twice, so the processor refuses.
--
-- One row a topic, for ever; read when partitions are taken over.

CREATE TABLE IF NOT EXISTS {database}.topics
(
    name       String,
    partitions UInt16,
    noted_at   DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY name;
