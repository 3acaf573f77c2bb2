-- The bytes that a day of events adds, by the events of the last seven whole days and what an event
-- takes in all tables; and the age of the oldest raw event in days.
SELECT
    (
        SELECT sum(value) / greatest(1, uniq(date))
        FROM daily_counts
        WHERE category = '_events' AND date BETWEEN today() - 7 AND today() - 1
    ) * (
        SELECT sum(bytes_on_disk) / greatest(1, sumIf(rows, table = 'events'))
        FROM system.parts
        WHERE database = currentDatabase() AND active AND table IN ('events', 'daily_counts', 'source_names')
    ) AS a_day,
    if(count() = 0, 0, dateDiff('second', min(appended_at), now64(3)) / 86400) AS age_days
FROM events
