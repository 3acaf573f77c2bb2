-- Whether an id was counted within the window before a repeat of it.
SELECT count()
FROM events
WHERE project_id = {project:String} AND id = {id:String}
  AND appended_at BETWEEN fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
      AND fromUnixTimestamp64Milli({until_ms:Int64}, 'UTC')
