-- How many partitions a topic was made with; no row where nobody noted it.
SELECT partitions
FROM topics FINAL
WHERE name = {topic:String}
