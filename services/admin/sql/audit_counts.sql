-- Counts that the rollup holds otherwise than the raw table gives them: all categories, the averages'
-- sums and the events themselves.
SELECT project_id, is_live, date, category, key, sum(raw) AS in_events, sum(rolled) AS in_daily_counts
FROM
(
    SELECT project_id, is_live, date, count.category AS category, count.key AS key,
        count.value AS raw, 0 AS rolled
    FROM events
    ARRAY JOIN counts AS count
    WHERE kp = {partition:UInt16} AND date BETWEEN {since:Date} AND {until:Date}
    UNION ALL
    SELECT project_id, is_live, date, category, key, 0 AS raw, value AS rolled
    FROM daily_counts
    WHERE kp = {partition:UInt16} AND date BETWEEN {since:Date} AND {until:Date}
)
GROUP BY project_id, is_live, date, category, key
HAVING in_events != in_daily_counts
ORDER BY project_id, is_live, date, category, key
LIMIT 1
