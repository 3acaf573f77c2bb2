-- What did the project count on these days? From the rollup: a few rows a day and key, read along
-- the sorting key (project_id, is_live, category, date). A sum may be 0 after a correction.
-- LowCardinality: each day and each key is sent once, however many rows name it.

SELECT toLowCardinality(date), category, toLowCardinality(key), is_live, sum(value) AS total
FROM daily_counts
WHERE project_id = {project_id:String}
  AND is_live IN {modes:Array(Bool)}
  AND category IN {categories:Array(String)}
  AND date BETWEEN {first_day:Date} AND {last_day:Date}
GROUP BY date, category, key, is_live
HAVING total != 0
