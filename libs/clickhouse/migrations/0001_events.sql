-- The raw events: the only state. Offsets, the memory of seen ids and the rollups are functions of it.
--
-- The sorting key serves reading one project's days by type (the answers for one device) and keeps a
-- session's rows side by side, which compresses ids well. Rows live until an operator drops a month.
-- Cost: one part an insert; the month of the append time (not of the event) is the partition, so that
-- an insert, which holds what Kafka appended within seconds, is one block and becomes one part.

CREATE TABLE IF NOT EXISTS {database}.events
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
ENGINE = MergeTree
PARTITION BY toYYYYMM(appended_at)
ORDER BY (project_id, is_live, date, type, session_id);
