CREATE TABLE IF NOT EXISTS ragtime.events_local ON CLUSTER 'c1'
(
    project_id      LowCardinality(String),
    is_live         Bool,
    id              String,
    type            LowCardinality(String),
    occurred_at     DateTime64(3, 'UTC'),
    accepted_at     DateTime64(3, 'UTC'),
    session_id      String,
    user_type       LowCardinality(String) DEFAULT 'public',
    device_id       LowCardinality(String),
    country         LowCardinality(String) DEFAULT 'unknown',
    device_type     LowCardinality(String) DEFAULT 'unknown',
    language        LowCardinality(String) DEFAULT 'unknown',
    conversation_id String,
    role            LowCardinality(String),
    action          LowCardinality(String),
    hit             Bool,
    sources         Array(Tuple(id String, name String)),
    duration_ms     UInt32,

    -- what the processor adds
    topic           LowCardinality(String) COMMENT 'Kafka topic; a topic made anew has a new name',
    appended_at     DateTime64(3, 'UTC') COMMENT 'when Kafka appended the record',
    kp              UInt16 COMMENT 'Kafka partition',
    ko              UInt64 COMMENT 'Kafka offset of the record',
    line            UInt32 COMMENT 'line in the record, from 0',
    first_of_day    Bool   COMMENT 'the first counted message of its conversation on its day',
    lease           DateTime64(3, 'UTC') COMMENT 'until when its insert might begin',

    date            Date MATERIALIZED toDate(occurred_at),

    -- What one event adds to which count: the one definition of every metric. The rollup, the answers
    -- for a device, recovery and the audit all read it, so they cannot disagree. Averages are kept
    -- as the sums that they are made of. `_events` counts the events themselves.
    counts Array(Tuple(category LowCardinality(String), key String, value Int64)) ALIAS arrayConcat(
        [('_events', '', 1)],
        if(type = 'chat.message' AND role = 'user',
            [('usage', toString(user_type), 1), ('conversation', '_user_messages', 1)], []),
        if(type = 'chat.message' AND first_of_day,
            [('language', toString(language), 1), ('conversation', 'total', 1)], []),
        if(type = 'chat.action', [('action', toString(action), 1)], []),
        if(type = 'rag.retrieval', [('rag', if(hit, 'hit', 'miss'), 1)], []),
        if(type = 'rag.retrieval',
            arrayMap(source_id -> ('source', source_id, 1), arrayDistinct(sources.id)), []),
        if(type = 'session.started',
            [('session', 'total', 1), ('country', toString(country), 1),
             ('device', toString(device_type), 1)], []),
        if(type = 'session.ended',
            [('session', '_ended', 1), ('session', '_ended_ms', toInt64(duration_ms))], [])),

    -- A writer that was frozen and wakes up after its partition went to another cannot insert.
    -- The engine takes the time once, when the insert begins.
    CONSTRAINT lease_has_not_passed CHECK lease > now64(3),

    -- Repeats: a hash match in the processor's memory is a suspicion, the id itself decides.
    INDEX ids id TYPE bloom_filter(0.001) GRANULARITY 1,

    -- Recovery: the ids of the last day, without reading the month. Rows lie by the day of the event,
    -- which is nearly that of the append, so few granules are read in vain.
    INDEX appended appended_at TYPE minmax GRANULARITY 1,

    -- Recovery and audit: what each Kafka partition has written, without reading the rows.
    PROJECTION ledger
    (
        SELECT topic, kp, project_id, is_live, date,
            count(), min(ko), max(ko), max(lease), max(appended_at)
        GROUP BY topic, kp, project_id, is_live, date
    )
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/{shard}/ragtime/events_local', '{shard}-{replica}')
PARTITION BY toYYYYMM(appended_at)
ORDER BY (project_id, is_live, date, type, session_id)
SETTINGS replicated_deduplication_window = 0;

CREATE OR REPLACE TABLE ragtime.events ON CLUSTER 'c1' AS ragtime.events_local ENGINE = Distributed('c1', 'ragtime', 'events_local', kp);

CREATE TABLE IF NOT EXISTS ragtime.daily_counts_local ON CLUSTER 'c1'
(
    project_id LowCardinality(String),
    is_live    Bool,
    category   LowCardinality(String),
    date       Date,
    key        String,
    kp         UInt16,
    value      Int64
)
ENGINE = ReplicatedSummingMergeTree('/clickhouse/tables/{shard}/ragtime/daily_counts_local', '{shard}-{replica}', value)
ORDER BY (project_id, is_live, category, date, key, kp)
SETTINGS replicated_deduplication_window = 0;

CREATE OR REPLACE TABLE ragtime.daily_counts ON CLUSTER 'c1' AS ragtime.daily_counts_local ENGINE = Distributed('c1', 'ragtime', 'daily_counts_local', kp);

CREATE MATERIALIZED VIEW IF NOT EXISTS ragtime.daily_counts_of_events ON CLUSTER 'c1' TO ragtime.daily_counts_local AS
SELECT
    project_id,
    is_live,
    count.category AS category,
    date,
    count.key AS key,
    kp,
    sum(count.value) AS value
FROM ragtime.events_local
ARRAY JOIN counts AS count
GROUP BY project_id, is_live, category, date, key, kp;

CREATE TABLE IF NOT EXISTS ragtime.sources ON CLUSTER 'c1'
(
    project_id LowCardinality(String),
    id         String,
    name       String,
    seen_at    DateTime64(3, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/ragtime/sources', '{shard}-{replica}', seen_at)
ORDER BY (project_id, id);

CREATE MATERIALIZED VIEW IF NOT EXISTS ragtime.sources_of_events ON CLUSTER 'c1' TO ragtime.sources AS
SELECT
    project_id,
    source.id AS id,
    argMax(source.name, (appended_at, ko, line)) AS name,
    max(appended_at) AS seen_at
FROM ragtime.events_local
ARRAY JOIN sources AS source
WHERE source.name != ''
GROUP BY project_id, id;

CREATE TABLE IF NOT EXISTS ragtime.api_keys ON CLUSTER 'c1'
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
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/ragtime/api_keys', '{shard}-{replica}', updated_at)
ORDER BY id;

CREATE TABLE IF NOT EXISTS ragtime.topics ON CLUSTER 'c1'
(
    name       String,
    partitions UInt16,
    noted_at   DateTime64(3, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/ragtime/topics', '{shard}-{replica}', noted_at)
ORDER BY name;

ALTER TABLE ragtime.events_local ON CLUSTER 'c1' MODIFY COLUMN id CODEC(ZSTD(1)),
    MODIFY COLUMN session_id CODEC(ZSTD(1)),
    MODIFY COLUMN conversation_id CODEC(ZSTD(1)),
    MODIFY COLUMN sources CODEC(ZSTD(1)),
    MODIFY COLUMN occurred_at CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN accepted_at CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN appended_at CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN lease CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN kp CODEC(ZSTD(1)),
    MODIFY COLUMN ko CODEC(T64('bit'), ZSTD(1)),
    MODIFY COLUMN line CODEC(T64('bit'), ZSTD(1));

CREATE OR REPLACE TABLE ragtime.events ON CLUSTER 'c1' AS ragtime.events_local ENGINE = Distributed('c1', 'ragtime', 'events_local', kp);

ALTER TABLE ragtime.api_keys
    ADD COLUMN IF NOT EXISTS events_per_minute Nullable(UInt32) COMMENT 'events to ingest; NULL: no limit',
    ADD COLUMN IF NOT EXISTS previous_hash String COMMENT 'key_hash before the last rotation; empty: none',
    ADD COLUMN IF NOT EXISTS previous_until Nullable(DateTime64(3, 'UTC')) COMMENT 'when that ends',
    ADD COLUMN IF NOT EXISTS pepper_id String COMMENT 'name of the pepper of key_hash; empty: not known';

CREATE TABLE IF NOT EXISTS ragtime.key_uses ON CLUSTER 'c1'
(
    key_id  String,
    used_at DateTime64(3, 'UTC')
)
ENGINE = ReplicatedReplacingMergeTree('/clickhouse/tables/all/ragtime/key_uses', '{shard}-{replica}', used_at)
ORDER BY key_id;

ALTER TABLE ragtime.events_local ON CLUSTER 'c1' MODIFY SETTING ttl_only_drop_parts = 1, materialize_ttl_recalculate_only = 1;

CREATE TABLE IF NOT EXISTS ragtime.retention ON CLUSTER 'c1'
(
    events_days UInt32 COMMENT '0: for ever',
    noted_at    DateTime64(3, 'UTC')
)
ENGINE = ReplicatedMergeTree('/clickhouse/tables/all/ragtime/retention', '{shard}-{replica}')
ORDER BY noted_at;
