-- Who an event is, and which conversation a message belongs to: the numbers that a record's index
-- carries (libs/events/record_index.py has the same formulas), for those who look for duplicates.
--
-- An identity is the lower 96 bits of a 128-bit hash, and above them 32 bits of project and mode alone.
-- Two events are the same when project, mode, conversation (of session events: session) and id are.
-- Columns that are computed when they are read: no row changes, no byte on the disk.

ALTER TABLE {database}.events
    ADD COLUMN IF NOT EXISTS identity UInt128 ALIAS bitOr(
        bitAnd(
            xxh3_128(concat(project_id, '\0', toString(toUInt8(is_live)),
                if(startsWith(type, 'session.'), concat('s', session_id), concat('c', conversation_id)),
                '\0', id)),
            bitShiftRight(toUInt128(-1), 32)),
        bitShiftLeft(toUInt128(xxh3(concat(project_id, '\0', toString(toUInt8(is_live))))), 96)),
    ADD COLUMN IF NOT EXISTS conversation UInt128 ALIAS bitOr(
        bitAnd(
            xxh3_128(concat(project_id, '\0', toString(toUInt8(is_live)), conversation_id)),
            bitShiftRight(toUInt128(-1), 32)),
        bitShiftLeft(toUInt128(xxh3(concat(project_id, '\0', toString(toUInt8(is_live))))), 96));
