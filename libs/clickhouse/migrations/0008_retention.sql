-- Raw events may go by age. How long they live is a setting, `RAGTIME_RETENTION__EVENTS_DAYS`, which
-- `ragtime` turns into the table's TTL: a migration deletes nothing.
--
-- Parts go whole, when their last row is too old: nothing is rewritten for it, and what is gone is a
-- month at most later gone than it could be. A new TTL is reckoned for old parts without reading them.
-- `retention` notes what was kept from when on: it tells from which day on `events` is complete, which
-- the audit must know. One row a change, for ever.

ALTER TABLE {database}.events MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE TABLE IF NOT EXISTS {database}.retention
(
    events_days UInt32 COMMENT '0: for ever',
    noted_at    DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY noted_at;
