-- The least time from ingest's stamp to Kafka's, of the last hour that has any events, in ms. One that
-- was sent again by `ragtime dead-letters replay` has the old stamp of ingest: that only makes it longer.
SELECT min(toUnixTimestamp64Milli(appended_at) - toUnixTimestamp64Milli(accepted_at))
FROM events
WHERE appended_at >= (SELECT max(appended_at) FROM events) - INTERVAL 1 HOUR
HAVING count() > 0
