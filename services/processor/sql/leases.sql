-- For how many seconds a writer of these partitions may still insert, by the server's clock.
SELECT greatest(0, dateDiff('millisecond', now64(3, 'UTC'), max(lease)) / 1000)
FROM events
WHERE kp IN {partitions:Array(UInt16)}
