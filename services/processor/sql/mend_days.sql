-- What the raw table gives for a day less what the rollup holds, all categories, in one block. Nothing
-- once the lease has passed: the partition may have another owner, who mends it too.
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
WHERE now64(3, 'UTC') < fromUnixTimestamp64Milli({lease_ms:Int64}, 'UTC')
GROUP BY project_id, is_live, category, date, key
HAVING difference != 0
