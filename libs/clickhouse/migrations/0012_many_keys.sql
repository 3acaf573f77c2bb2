-- The same counts and names as before, for less: an event may name 100 sources of which all count as
-- `other`, and to look for each of them among all of those copied that list a hundred times.
--
-- `arrayEnumerateDense` numbers the different texts of an array by their first places. Where `other_keys`
-- stand first, they have the numbers up to how many of them there are, and whoever has a greater one is
-- none of them. That costs as much as there are sources. Ten times less for what a producer can send
-- that costs most: `python -m tests.bench.neighbours sources`.

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
                arrayDistinct(arrayMap(
                    (source_id, place) -> if(place > length(arrayDistinct(other_keys)), source_id, ''),
                    sources.id,
                    arraySlice(arrayEnumerateDense(arrayConcat(other_keys, sources.id)), length(other_keys) + 1)))), []),
        if(type = 'session.started',
            [('session', 'total', 1), ('country', toString(country), 1),
             ('device', toString(device_type), 1)], []),
        if(type = 'session.ended',
            [('session', '_ended', 1), ('session', '_ended_ms', toInt64(duration_ms))], []));

ALTER TABLE {database}.source_names_of_events MODIFY QUERY
SELECT
    project_id,
    source.id AS id,
    is_live,
    max((occurred_at, appended_at, ko, line, source.name)) AS latest
FROM {database}.events
ARRAY JOIN arrayFilter(
    (source, place) -> source.name != '' AND place > length(arrayDistinct(other_keys)),
    sources,
    arraySlice(arrayEnumerateDense(arrayConcat(other_keys, sources.id)), length(other_keys) + 1)) AS source
GROUP BY project_id, id, is_live;
