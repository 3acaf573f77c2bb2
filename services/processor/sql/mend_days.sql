-- What the raw table gives for these days less what the rollup holds, all categories, in one block.
INSERT INTO daily_counts (project_id, is_live, category, date, key, kp, value)
SELECT project_id, is_live, category, date, key, {partition:UInt16}, sum(value) AS difference
FROM
(
    SELECT project_id, is_live, date,
        count.category AS category, count.key AS key, count.value AS value
    FROM events
    ARRAY JOIN counts AS count
    WHERE kp = {partition:UInt16}
      AND project_id = {project:String} AND is_live = {is_live:Bool} AND date = {day:Date}
    UNION ALL
    SELECT project_id, is_live, date, category, key, -value AS value
    FROM daily_counts
    WHERE kp = {partition:UInt16}
      AND project_id = {project:String} AND is_live = {is_live:Bool} AND date = {day:Date}
)
GROUP BY project_id, is_live, category, date, key
HAVING difference != 0
