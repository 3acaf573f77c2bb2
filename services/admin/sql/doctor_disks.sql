-- The disks that our tables lie on, or all where there is no row yet; and what is ours.
SELECT disks.name, disks.free_space, disks.total_space, ifNull(ours.bytes, 0)
FROM system.disks AS disks
LEFT JOIN
(
    SELECT disk_name, sum(bytes_on_disk) AS bytes
    FROM system.parts
    WHERE database = currentDatabase()
    GROUP BY disk_name
) AS ours ON ours.disk_name = disks.name
WHERE ours.disk_name != ''
    OR (SELECT count() FROM system.parts WHERE database = currentDatabase()) = 0
