-- What API keys got later: a limit of events, two secrets while one is rotated, last uses.
--
-- A revocation has an `updated_at` beyond all others, so that no change made at the same time can
-- undo it. `key_uses` is a table of its own: services may insert into it and into nothing else. The
-- sorting key serves one list of all keys. One row a key after merges; rows live for ever.
-- Cost: one small part a minute and process.

ALTER TABLE {database}.api_keys
    ADD COLUMN IF NOT EXISTS events_per_minute Nullable(UInt32) COMMENT 'events to ingest; NULL: no limit',
    ADD COLUMN IF NOT EXISTS previous_hash String COMMENT 'key_hash before the last rotation; empty: none',
    ADD COLUMN IF NOT EXISTS previous_until Nullable(DateTime64(3, 'UTC')) COMMENT 'when that ends',
    ADD COLUMN IF NOT EXISTS pepper_id String COMMENT 'name of the pepper of key_hash; empty: not known';

CREATE TABLE IF NOT EXISTS {database}.key_uses
(
    key_id  String,
    used_at DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(used_at)
ORDER BY key_id;
