-- Of events that may have been counted before the window: which are among the rows of their days:
-- (identity UInt128).
SELECT DISTINCT identity
FROM events
WHERE project_id IN {projects:Array(String)}
  AND date IN {days:Array(Date)}
  AND id IN {ids:Array(String)}
