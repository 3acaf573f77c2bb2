-- Conversations of which not exactly one message of a day is the first: they would count twice, or not.
SELECT project_id, is_live, date, conversation_id, countIf(first_of_day) AS firsts
FROM events
WHERE kp = {partition:UInt16} AND date >= {since:Date} AND type = 'chat.message'
GROUP BY project_id, is_live, date, conversation_id
HAVING firsts != 1
ORDER BY project_id, is_live, date, conversation_id
LIMIT 1
