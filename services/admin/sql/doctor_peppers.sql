-- Active keys by the name of the pepper that made them.
SELECT pepper_id, count() AS number
FROM api_keys FINAL
WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now64(3))
GROUP BY pepper_id
ORDER BY pepper_id
