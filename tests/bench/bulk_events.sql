-- Which events lie in the tables when reading them is measured? Rows `first` to `first + rows` of `total`.
--
-- Sessions of ten events over three minutes, appended evenly over `span_ms`. One of `share` belongs to
-- project-0, the others to the rest of `projects`. What is unlike each other in life is so here, so
-- that the bytes on disk are those of real events: ids, sessions and conversations are random UUIDs,
-- and each instant has its own milliseconds. (Leases lie a year ahead, or the table refuses them.)

INSERT INTO events (project_id, is_live, id, type, occurred_at, accepted_at, session_id, user_type,
    device_id, country, device_type, language, conversation_id, role, action, hit, sources,
    duration_ms, topic, appended_at, kp, ko, line, first_of_day, lease)
WITH
    intDiv(number, 10) AS session,
    number % 10 AS place,
    cityHash64('session', session) AS of_session,
    cityHash64('event', number) AS of_event,
    intDiv(of_event, 100) AS chance,
    if(of_session % {share:UInt32} = 0, 0,
        1 + intDiv(of_session, 1000000) % ({projects:UInt32} - 1)) AS project,
    concat('project-', toString(project)) AS project_name,
    toString(reinterpretAsUUID(sipHash128('session', session))) AS session_name,
    multiIf(place = 0, 'session.started', place = 1 OR of_event % 100 < 45, 'chat.message',
        of_event % 100 < 70, 'rag.retrieval', of_event % 100 < 90, 'chat.action',
        'session.ended') AS kind,
    if(startsWith(kind, 'session.'), '',
        toString(reinterpretAsUUID(sipHash128('conversation', session)))) AS conversation_name,
    concat(project_name, ':', if(conversation_name = '', session_name, conversation_name)) AS key,
    {start_ms:Int64} + toInt64(session / {total:UInt64} * 10 * {span_ms:Int64})
        + place * 20000 + chance % 20000 AS occurred_ms,
    occurred_ms + 5 + intDiv(chance, 20000) % 80 AS accepted_ms,
    accepted_ms + 2 + intDiv(chance, 2000000) % 20 AS appended_ms,
    intDiv(appended_ms, 250) AS batch,
    arrayMap(nth -> intDiv(chance, nth * 100) % 60, range(1, 1 + chance % 3)) AS cited
SELECT
    project_name,
    intDiv(of_session, 100000) % 20 != 0,
    toString(generateUUIDv4()),
    kind,
    fromUnixTimestamp64Milli(occurred_ms, 'UTC'),
    fromUnixTimestamp64Milli(accepted_ms, 'UTC'),
    session_name,
    if(of_session % 3 = 0, 'logged_in', 'public'),
    if(intDiv(of_session, 7) % 10 < 3,
        concat('kiosk-', toString(project), '-', toString(intDiv(of_session, 70) % 20)), ''),
    ['DE', 'AT', 'CH', 'FR', 'US'][1 + intDiv(of_session, 11) % 5],
    ['desktop', 'mobile', 'tablet'][1 + intDiv(of_session, 13) % 3],
    ['de', 'en', 'fr', 'it'][1 + intDiv(of_session, 17) % 4],
    conversation_name,
    multiIf(kind != 'chat.message', '', place = 1 OR chance % 2 = 0, 'user', 'assistant'),
    if(kind = 'chat.action', concat('action-', toString(chance % 8)), ''),
    kind = 'rag.retrieval' AND notEmpty(cited),
    if(kind = 'rag.retrieval', arrayMap(
        source -> (concat('src-', hex(sipHash64(project, source))),
                   concat('Document ', toString(source))), cited), []),
    if(kind = 'session.ended', chance % 600000, 0),
    {topic:String},
    fromUnixTimestamp64Milli(appended_ms, 'UTC'),
    CRC32(key) % {partitions:UInt16},
    toUInt64((appended_ms - {start_ms:Int64}) / {span_ms:Int64} * {total:UInt64}
        / (2 * {partitions:UInt16})),
    of_event % 2,
    place = 1,
    fromUnixTimestamp64Milli(batch * 250 + batch % 250, 'UTC') + INTERVAL 1 YEAR
FROM numbers({first:UInt64}, {rows:UInt64})
