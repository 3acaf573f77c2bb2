-- Keys beyond what a project may have of a category on a day (sources, actions, languages) count as
-- `other`: else one producer could grow the rollup without bound, for ever.
--
-- Ingest decides, and what it decided is stored with the row, so that the rollup, the answers for a
-- device, recovery and the audit agree. In `counts` and `daily_counts` such keys have the empty name,
-- which no producer can send. Old rows have none. Cost: nothing on the disk where the array is empty.

ALTER TABLE {database}.events
    ADD COLUMN IF NOT EXISTS other_keys Array(String) COMMENT 'keys of this event that count as `other`' CODEC(ZSTD(1)) AFTER duration_ms;

ALTER TABLE {database}.events
    MODIFY COLUMN counts Array(Tuple(category LowCardinality(String), key String, value Int64)) ALIAS arrayConcat(
        [('_events', '', 1)],
        if(type = 'chat.message' AND role = 'user',
            [('usage', toString(user_type), 1), ('conversation', '_user_messages', 1)], []),
        if(type = 'chat.message' AND first_of_day,
            [('language', if(has(other_keys, language), '', toString(language)), 1), ('conversation', 'total', 1)], []),
        if(type = 'chat.action', [('action', if(has(other_keys, action), '', toString(action)), 1)], []),
        if(type = 'rag.retrieval', [('rag', if(hit, 'hit', 'miss'), 1)], []),
        if(type = 'rag.retrieval',
            arrayMap(source_id -> ('source', source_id, 1),
                arrayDistinct(arrayMap(source_id -> if(has(other_keys, source_id), '', source_id), sources.id))), []),
        if(type = 'session.started',
            [('session', 'total', 1), ('country', toString(country), 1),
             ('device', toString(device_type), 1)], []),
        if(type = 'session.ended',
            [('session', '_ended', 1), ('session', '_ended_ms', toInt64(duration_ms))], []));
