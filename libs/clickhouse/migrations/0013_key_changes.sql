-- Who did what to API keys, and when: `ragtime keys log`. Rows are added and never changed; never a secret
-- among them. It is written before the key itself is: nothing is done that does not stand here.

CREATE TABLE IF NOT EXISTS {database}.key_changes
(
    changed_at DateTime64(3, 'UTC'),
    key_id     String,
    project_id String,
    change     LowCardinality(String) COMMENT 'created, rates, rotated, revoked',
    detail     String COMMENT 'what it became',
    changed_by String COMMENT 'RAGTIME_ACTOR, else the account that ran the command'
)
ENGINE = MergeTree
ORDER BY (changed_at, key_id);
