-- The last record of each partition that is in the table, from the projection `ledger`.
SELECT kp, max(ko)
FROM events
WHERE kp IN {partitions:Array(UInt16)}
GROUP BY kp
