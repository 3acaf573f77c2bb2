-- ClickHouse's clock, in microseconds since 1970: leases are times of it.
SELECT toUnixTimestamp64Micro(now64(6, 'UTC'))
