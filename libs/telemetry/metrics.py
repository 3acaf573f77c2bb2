"""Every metric of the system and its labels, in one place.

Labels come from closed sets, never a project, a key or free text: the number of series is known.
"""

from prometheus_client import Counter, Gauge, Histogram

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

# HTTP services (label `route` is the route's template, `status` the code)
REQUESTS = Counter("ragtime_requests", "Answers given", ["service", "route", "status"])
REQUEST_SECONDS = Histogram(
    "ragtime_request_seconds", "Time to answer", ["service", "route"], buckets=SECONDS
)
CONNECTIONS_CUT = Counter(
    "ragtime_connections_cut", "Connections cut off by us, by the reason", ["reason"]
)
RATE_LIMIT_STORE_FAILURES = Counter(
    "ragtime_rate_limit_store_failures", "Requests limited in memory: the shared store was away"
)
KEY_SNAPSHOT_AGE_SECONDS = Gauge(
    "ragtime_key_snapshot_age_seconds", "Age of the snapshot of the API keys"
)

# ingest
EVENTS_ACCEPTED = Counter("ragtime_events_accepted", "Events answered 202", ["type"])
EVENTS_REJECTED = Counter("ragtime_events_rejected", "Events refused", ["code"])
PUBLISH_SECONDS = Histogram(
    "ragtime_publish_seconds", "From a request's events to Kafka's acknowledgement", buckets=SECONDS
)
PUBLISH_FAILURES = Counter("ragtime_publish_failures", "Requests whose events Kafka did not take")
PENDING_BYTES = Gauge("ragtime_publish_pending_bytes", "Bytes that wait for Kafka")

# processor
EVENTS_COUNTED = Counter("ragtime_events_counted", "Events inserted into ClickHouse")
EVENTS_REPEATED = Counter("ragtime_events_repeated", "Events whose id had been counted already")
RECORDS_SKIPPED = Counter("ragtime_records_skipped", "Records read again that had been inserted")
DEAD_LETTERS = Counter("ragtime_dead_letters", "Lines sent to the dead-letter topic", ["reason"])
BATCH_EVENTS = Histogram(
    "ragtime_batch_events", "Events an insert", buckets=(1, 10, 100, 1_000, 10_000, 100_000)
)
INSERT_SECONDS = Histogram("ragtime_insert_seconds", "Time of an insert", buckets=SECONDS)
INSERT_RETRIES = Counter("ragtime_insert_retries", "Inserts tried again", ["reaction"])
RECOVERIES = Counter("ragtime_recoveries", "Partitions recovered")
RECOVERY_SECONDS = Histogram(
    "ragtime_recovery_seconds", "Time of a recovery", buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
)
OFFSETS_MISSING = Counter(
    "ragtime_offsets_missing", "Offsets that Kafka did not give any more: lost to its retention"
)
VISIBLE_SECONDS = Histogram(
    "ragtime_visible_seconds", "From Kafka's append to the insert's end", buckets=SECONDS
)
MEMORY_IDS = Gauge("ragtime_memory_ids", "Ids remembered for the detection of repeats")
MENDED_DAYS = Counter("ragtime_mended_days", "Days of a project whose rollup had to be mended")
