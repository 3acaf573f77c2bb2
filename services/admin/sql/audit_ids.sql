-- Ids that were counted twice within 24 hours of append time, in one partition.
SELECT project_id, id, arraySort(groupArray(toUnixTimestamp64Milli(appended_at))) AS times
FROM events
WHERE kp = {partition:UInt16} AND date >= {since:Date}
GROUP BY project_id, id
HAVING count() > 1 AND arrayExists(gap -> gap < 24 * 3600 * 1000, arrayPopFront(arrayDifference(times)))
ORDER BY project_id, id
LIMIT 1
