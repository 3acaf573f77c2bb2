-- How many inserts into any of these partitions are running, of whichever process (writer.py, tag). Those
-- of another installation on the same server go on.
SELECT count()
FROM system.processes
WHERE current_database = currentDatabase()
  AND match(Settings['log_comment'], {tags:String})
