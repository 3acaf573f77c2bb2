-- What the processors remember of the last day: its events, and the conversations of yesterday and today.
SELECT
    countIf(appended_at >= now64(3) - INTERVAL 1 DAY) AS ids,
    countIf(type = 'chat.message' AND first_of_day AND date >= today() - 1) AS conversations
FROM events
WHERE appended_at >= now64(3) - INTERVAL 2 DAY
