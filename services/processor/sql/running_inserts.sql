-- How many inserts into any of these partitions are running, of whichever process (writer.py, tag).
SELECT count()
FROM system.processes
WHERE match(Settings['log_comment'], {tags:String})
