-- Of conversations on days that the memory does not hold: which had a counted message already.
SELECT DISTINCT date, project_id, is_live, conversation_id
FROM events
WHERE project_id IN {projects:Array(String)}
  AND date IN {days:Array(Date)}
  AND type = 'chat.message'
  AND first_of_day
  AND conversation_id IN {conversations:Array(String)}
