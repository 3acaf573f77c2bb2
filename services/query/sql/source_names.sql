-- What are the sources called that the project cited on these days? The rollup names the ids, so
-- that thousands of them need not travel there and back. A source that nobody named
-- is missing. Live readers see the names that live events gave.

SELECT id, tupleElement(max(latest), 'name') AS last_name
FROM source_names
WHERE project_id = {project_id:String}
  AND is_live IN {modes:Array(Bool)}
  AND id IN (
      SELECT key
      FROM daily_counts
      WHERE project_id = {project_id:String}
        AND is_live IN {modes:Array(Bool)}
        AND category = 'source'
        AND date BETWEEN {first_day:Date} AND {last_day:Date})
GROUP BY id
