-- Of conversations that the memory is not sure of: which had a counted message on which of these days:
-- (days since 1970 UInt16, conversation UInt128). `keys` are their lower halves: numbers, as no text of a
-- producer's should have to pass through the statement.
SELECT DISTINCT date, conversation
FROM events
WHERE project_id IN {projects:Array(String)}
  AND date IN {days:Array(Date)}
  AND type = 'chat.message'
  AND first_of_day
  AND toUInt64(conversation) IN {keys:Array(UInt64)}
