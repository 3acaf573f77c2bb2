-- The API keys: never a key itself, only its HMAC. A change is a new row with a later `updated_at`.
--
-- The table is small; every service reads all of it every few seconds. Rows live for ever, so that
-- a revoked key stays refused and `ragtime keys list` can tell when it was.

CREATE TABLE IF NOT EXISTS {database}.api_keys
(
    id              String COMMENT 'public name of the key, for lists and revocation',
    key_hash        FixedString(64) COMMENT 'hex of HMAC-SHA-256(pepper, key)',
    project_id      String,
    mode            Enum8('live' = 1, 'test' = 2),
    scopes          Array(LowCardinality(String)),
    rate_per_minute Nullable(UInt32) COMMENT 'requests to the analytics endpoint; NULL: the default',
    label           String,
    created_at      DateTime64(3, 'UTC'),
    expires_at      Nullable(DateTime64(3, 'UTC')),
    revoked_at      Nullable(DateTime64(3, 'UTC')),
    updated_at      DateTime64(6, 'UTC')
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY id;
