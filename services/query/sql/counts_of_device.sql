-- What did the project count on these days on one device? From the raw events, along their sorting
-- key (project_id, is_live, date), by the same definition as the rollup: the column `counts`.

SELECT date, count.category AS category, count.key AS key, is_live, sum(count.value) AS total
FROM events
ARRAY JOIN counts AS count
WHERE project_id = {project_id:String}
  AND is_live IN {modes:Array(Bool)}
  AND device_id = {device_id:String}
  AND date BETWEEN {first_day:Date} AND {last_day:Date}
  AND count.category IN {categories:Array(String)}
GROUP BY date, category, key, is_live
HAVING total != 0
