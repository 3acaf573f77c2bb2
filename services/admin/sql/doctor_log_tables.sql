-- ClickHouse's own log tables, those that an upgrade renamed (query_log_0) too: bytes, and whether rows
-- go by age.
SELECT name, ifNull(total_bytes, 0), position(engine_full, ' TTL ') > 0
FROM system.tables
WHERE database = 'system' AND engine LIKE '%MergeTree' AND match(name, '_log(_\\d+)?$')
ORDER BY name
