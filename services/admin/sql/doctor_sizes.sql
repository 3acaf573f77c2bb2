-- Bytes, rows, and the most parts of a partition, of each of our tables that has any.
SELECT table, sum(bytes) AS all_bytes, sum(rows) AS all_rows, max(parts)
FROM
(
    SELECT table, partition_id, sum(bytes_on_disk) AS bytes, sum(rows) AS rows, count() AS parts
    FROM system.parts
    WHERE database = currentDatabase() AND active
    GROUP BY table, partition_id
)
GROUP BY table
ORDER BY all_bytes DESC
