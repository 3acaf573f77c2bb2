-- How a backup or a restore goes that this server runs, or has run since it was started.
SELECT toString(status) AS status, error, num_files, total_size
FROM system.backups
WHERE id = {id:String}
