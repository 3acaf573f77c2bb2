-- Generated from migrations/ by `make schema`. Read it; change the tables by a migration.

CREATE TABLE api_keys
(
    `id` String COMMENT 'public name of the key, for lists and revocation',
    `key_hash` FixedString(64) COMMENT 'hex of HMAC-SHA-256(pepper, key)',
    `project_id` String,
    `mode` Enum8('live' = 1, 'test' = 2),
    `scopes` Array(LowCardinality(String)),
    `rate_per_minute` Nullable(UInt32) COMMENT 'requests to the analytics endpoint; NULL: the default',
    `label` String,
    `created_at` DateTime64(3, 'UTC'),
    `expires_at` Nullable(DateTime64(3, 'UTC')),
    `revoked_at` Nullable(DateTime64(3, 'UTC')),
    `updated_at` DateTime64(6, 'UTC'),
    `events_per_minute` Nullable(UInt32) COMMENT 'events to ingest; NULL: no limit',
    `previous_hash` String COMMENT 'key_hash before the last rotation; empty: none',
    `previous_until` Nullable(DateTime64(3, 'UTC')) COMMENT 'when that ends',
    `pepper_id` String COMMENT 'name of the pepper of key_hash; empty: not known'
)
ENGINE = ReplacingMergeTree(updated_at)
ORDER BY id
SETTINGS index_granularity = 8192;

CREATE TABLE daily_counts
(
    `project_id` LowCardinality(String),
    `is_live` Bool,
    `category` LowCardinality(String),
    `date` Date,
    `key` String,
    `kp` UInt16,
    `value` Int64
)
ENGINE = SummingMergeTree(value)
ORDER BY (project_id, is_live, category, date, key, kp)
SETTINGS index_granularity = 8192;

CREATE MATERIALIZED VIEW daily_counts_of_events TO daily_counts
(
    `project_id` LowCardinality(String),
    `is_live` Bool,
    `category` LowCardinality(String),
    `date` Date,
    `key` String,
    `kp` UInt16,
    `value` Int64
)
AS SELECT
    project_id,
    is_live,
    count.category AS category,
    date,
    count.key AS key,
    kp,
    sum(count.value) AS value
FROM events
ARRAY JOIN counts AS count
GROUP BY
    project_id,
    is_live,
    category,
    date,
    key,
    kp;

CREATE TABLE events
(
    `project_id` LowCardinality(String),
    `is_live` Bool,
    `id` String CODEC(ZSTD(1)),
    `type` LowCardinality(String),
    `occurred_at` DateTime64(3, 'UTC') CODEC(T64('bit'), ZSTD(1)),
    `accepted_at` DateTime64(3, 'UTC') CODEC(T64('bit'), ZSTD(1)),
    `session_id` String CODEC(ZSTD(1)),
    `user_type` LowCardinality(String) DEFAULT 'public',
    `device_id` LowCardinality(String),
    `country` LowCardinality(String) DEFAULT 'unknown',
    `device_type` LowCardinality(String) DEFAULT 'unknown',
    `language` LowCardinality(String) DEFAULT 'unknown',
    `conversation_id` String CODEC(ZSTD(1)),
    `role` LowCardinality(String),
    `action` LowCardinality(String),
    `hit` Bool,
    `sources` Array(Tuple(
        id String,
        name String)) CODEC(ZSTD(1)),
    `duration_ms` UInt32,
    `other_keys` Array(String) COMMENT 'keys of this event that count as `other`' CODEC(ZSTD(1)),
    `topic` LowCardinality(String) COMMENT 'Kafka topic; a topic made anew has a new name',
    `appended_at` DateTime64(3, 'UTC') COMMENT 'when Kafka appended the record' CODEC(T64('bit'), ZSTD(1)),
    `kp` UInt16 COMMENT 'Kafka partition' CODEC(ZSTD(1)),
    `ko` UInt64 COMMENT 'Kafka offset of the record' CODEC(T64('bit'), ZSTD(1)),
    `line` UInt32 COMMENT 'line in the record, from 0' CODEC(T64('bit'), ZSTD(1)),
    `first_of_day` Bool COMMENT 'the first counted message of its conversation on its day',
    `lease` DateTime64(3, 'UTC') COMMENT 'until when its insert might begin' CODEC(T64('bit'), ZSTD(1)),
    `date` Date MATERIALIZED toDate(occurred_at),
    `counts` Array(Tuple(
        category LowCardinality(String),
        key String,
        value Int64)) ALIAS arrayConcat([('_events', '', 1)], if((type = 'chat.message') AND (role = 'user'), [('usage', toString(user_type), 1), ('conversation', '_user_messages', 1)], []), if((type = 'chat.message') AND first_of_day, [('language', if(has(other_keys, language), '', toString(language)), 1), ('conversation', 'total', 1)], []), if(type = 'chat.action', [('action', if(has(other_keys, action), '', toString(action)), 1)], []), if(type = 'rag.retrieval', [('rag', if(hit, 'hit', 'miss'), 1)], []), if(type = 'rag.retrieval', arrayMap(source_id -> ('source', source_id, 1), arrayDistinct(arrayMap((source_id, place) -> if(place > length(arrayDistinct(other_keys)), source_id, ''), sources.id, arraySlice(arrayEnumerateDense(arrayConcat(other_keys, sources.id)), length(other_keys) + 1)))), []), if(type = 'session.started', [('session', 'total', 1), ('country', toString(country), 1), ('device', toString(device_type), 1)], []), if(type = 'session.ended', [('session', '_ended', 1), ('session', '_ended_ms', toInt64(duration_ms))], [])),
    `identity` UInt128 ALIAS bitOr(bitAnd(xxh3_128(concat(project_id, '\0', toString(toUInt8(is_live)), if(startsWith(type, 'session.'), concat('s', session_id), concat('c', conversation_id)), '\0', id)), bitShiftRight(toUInt128(-1), 32)), bitShiftLeft(toUInt128(xxh3(concat(project_id, '\0', toString(toUInt8(is_live))))), 96)),
    `conversation` UInt128 ALIAS bitOr(bitAnd(xxh3_128(concat(project_id, '\0', toString(toUInt8(is_live)), conversation_id)), bitShiftRight(toUInt128(-1), 32)), bitShiftLeft(toUInt128(xxh3(concat(project_id, '\0', toString(toUInt8(is_live))))), 96)),
    INDEX ids id TYPE bloom_filter(0.001) GRANULARITY 1,
    INDEX appended appended_at TYPE minmax GRANULARITY 1,
    CONSTRAINT lease_has_not_passed CHECK lease > now64(3),
    PROJECTION ledger
    (
        SELECT
            topic,
            kp,
            project_id,
            is_live,
            date,
            count(),
            min(ko),
            max(ko),
            max(lease),
            max(appended_at)
        GROUP BY
            topic,
            kp,
            project_id,
            is_live,
            date
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(appended_at)
ORDER BY (project_id, is_live, date, type, session_id)
SETTINGS index_granularity = 8192, ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE TABLE key_activity
(
    `hour` DateTime('UTC'),
    `key_id` String,
    `service` LowCardinality(String) COMMENT 'ingest, query',
    `requests` UInt64 COMMENT 'all of them',
    `refused` UInt64 COMMENT 'of them: answered 400 to 499, but 429',
    `limited` UInt64 COMMENT 'of them: answered 429',
    `failed` UInt64 COMMENT 'of them: answered 500 to 599',
    `rejected_events` UInt64 COMMENT 'events that were refused, in requests of any answer'
)
ENGINE = SummingMergeTree
ORDER BY (hour, key_id, service)
TTL hour + toIntervalDay(90)
SETTINGS index_granularity = 8192;

CREATE TABLE key_changes
(
    `changed_at` DateTime64(3, 'UTC'),
    `key_id` String,
    `project_id` String,
    `change` LowCardinality(String) COMMENT 'created, rates, rotated, revoked',
    `detail` String COMMENT 'what it became',
    `changed_by` String COMMENT 'RAGTIME_ACTOR, else the account that ran the command'
)
ENGINE = MergeTree
ORDER BY (changed_at, key_id)
SETTINGS index_granularity = 8192;

CREATE TABLE key_uses
(
    `key_id` String,
    `used_at` DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(used_at)
ORDER BY key_id
SETTINGS index_granularity = 8192;

CREATE TABLE migrations
(
    `number` UInt32,
    `name` String,
    `checksum` String,
    `applied_at` DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY number
SETTINGS index_granularity = 8192;

CREATE TABLE retention
(
    `events_days` UInt32 COMMENT '0: for ever',
    `noted_at` DateTime64(3, 'UTC')
)
ENGINE = MergeTree
ORDER BY noted_at
SETTINGS index_granularity = 8192;

CREATE TABLE source_names
(
    `project_id` LowCardinality(String),
    `id` String,
    `is_live` Bool,
    `latest` SimpleAggregateFunction(max, Tuple(
        occurred_at DateTime64(3, 'UTC'),
        appended_at DateTime64(3, 'UTC'),
        ko UInt64,
        line UInt32,
        name String))
)
ENGINE = AggregatingMergeTree
ORDER BY (project_id, id, is_live)
SETTINGS index_granularity = 8192;

CREATE MATERIALIZED VIEW source_names_of_events TO source_names
(
    `project_id` LowCardinality(String),
    `id` String,
    `is_live` Bool,
    `latest` Tuple(
        DateTime64(3, 'UTC'),
        DateTime64(3, 'UTC'),
        UInt64,
        UInt32,
        String)
)
AS SELECT
    project_id,
    source.id AS id,
    is_live,
    max((occurred_at, appended_at, ko, line, source.name)) AS latest
FROM events
ARRAY JOIN arrayFilter((source, place) -> ((source.name != '') AND (place > length(arrayDistinct(other_keys)))), sources, arraySlice(arrayEnumerateDense(arrayConcat(other_keys, sources.id)), length(other_keys) + 1)) AS source
GROUP BY
    project_id,
    id,
    is_live;

CREATE TABLE sources
(
    `project_id` LowCardinality(String),
    `id` String,
    `name` String,
    `seen_at` DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(seen_at)
ORDER BY (project_id, id)
SETTINGS index_granularity = 8192;

CREATE TABLE topics
(
    `name` String,
    `partitions` UInt16,
    `noted_at` DateTime64(3, 'UTC')
)
ENGINE = ReplacingMergeTree(noted_at)
ORDER BY name
SETTINGS index_granularity = 8192;
