-- What became of each key's requests: `ragtime keys activity`. Each process of ingest and query adds a row a key and
-- minute, which merges add up. It tells who sends what is refused; counts of events are in daily_counts.
-- Cost: as key_uses, one small part a minute and process.

CREATE TABLE IF NOT EXISTS {database}.key_activity
(
    hour            DateTime('UTC'),
    key_id          String,
    service         LowCardinality(String) COMMENT 'ingest, query',
    requests        UInt64 COMMENT 'all of them',
    refused         UInt64 COMMENT 'of them: answered 400 to 499, but 429',
    limited         UInt64 COMMENT 'of them: answered 429',
    failed          UInt64 COMMENT 'of them: answered 500 to 599',
    rejected_events UInt64 COMMENT 'events that were refused, in requests of any answer'
)
ENGINE = SummingMergeTree
ORDER BY (hour, key_id, service)
TTL hour + INTERVAL 90 DAY;
