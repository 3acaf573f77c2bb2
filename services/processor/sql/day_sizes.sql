-- How many events the rollup holds of some days of a project: (days since 1970 UInt16, events UInt64). What
-- came by another topic may stand under other partitions: it is an estimate.
SELECT date, toUInt64(greatest(0, sum(value)))
FROM daily_counts
WHERE project_id = {project:String}
  AND is_live = {is_live:Bool}
  AND category = '_events'
  AND date IN {days:Array(Date)}
  AND kp IN {partitions:Array(UInt16)}
GROUP BY date
