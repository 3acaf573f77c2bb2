-- Where the rollup does not hold as many events as the raw table: a kill came between the two parts.
SELECT kp, project_id, is_live, date
FROM
(
    SELECT kp, project_id, is_live, date, toInt64(count()) AS events, 0 AS counted
    FROM events
    WHERE kp IN {partitions:Array(UInt16)} AND date >= {since:Date}
    GROUP BY kp, project_id, is_live, date
    UNION ALL
    SELECT kp, project_id, is_live, date, 0 AS events, sum(value) AS counted
    FROM daily_counts
    WHERE kp IN {partitions:Array(UInt16)} AND category = '_events' AND date >= {since:Date}
    GROUP BY kp, project_id, is_live, date
)
GROUP BY kp, project_id, is_live, date
HAVING sum(events) != sum(counted)
ORDER BY kp, project_id, is_live, date
