-- Each month of the raw events: its newest row, its rows, its bytes on disk.
SELECT partition, newest, rows, bytes
FROM
(
    SELECT partition, sum(rows) AS rows, sum(bytes_on_disk) AS bytes
    FROM system.parts
    WHERE database = currentDatabase() AND table = 'events' AND active
    GROUP BY partition
) AS parts
INNER JOIN
(
    SELECT toString(toYYYYMM(appended_at)) AS partition, max(appended_at) AS newest
    FROM events
    GROUP BY partition
) AS rows USING (partition)
ORDER BY partition
