"""Every metric of the system and its labels, in one place.

Labels come from closed sets, never a project, a key or free text: the number of series is known.
`make documents` writes docs/metrics.md from here.
"""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import get_args

from prometheus_client import disable_created_metrics

from libs.events.models import AnyEvent
from libs.events.reasons import DeadLetterReason, RejectCode
from libs.telemetry.groups import Group, Shown

# A second series beside each would tell when it began, which nothing here asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

SERVICES = ("ingest", "processor", "query")
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
# What an outage makes slow is told from what is lost.
LONG_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600)

ALL = Group(*SERVICES)
HTTP = Group("ingest", "query")
INGEST = Group("ingest")
PROCESSOR = Group("processor")
GROUPS = (ALL, HTTP, INGEST, PROCESSOR)

BUILD = ALL.gauge(
    "ragtime_build_info",
    "1: what runs here, as labels",
    version="the release",
    service="its name",
    python="the interpreter's version",
)
READY_CHECK = ALL.gauge(
    "ragtime_ready_check",
    "1 where a check of /healthz/ready passes, else 0",
    check="the names of the checks",
)

REQUESTS = HTTP.quick_counter(
    "ragtime_requests_total",
    "Answers given; 499: the caller had gone",
    service=HTTP.services,
    route="the templates of the routes, and `unmatched`",
    status="HTTP's numbers",
)
REQUEST_SECONDS = HTTP.quick_histogram(
    "ragtime_request_seconds",
    "Time from a request's head to the end of its answer",
    SECONDS,
    service=HTTP.services,
    route="the templates of the routes, and `unmatched`",
)
RATE_LIMITED = HTTP.counter(
    "ragtime_rate_limited_total",
    "Requests answered 429, by the limit that they met",
    limit=("key", "address", "events", "requests", "under_way"),
)
RATE_LIMIT_STORE_FAILURES = HTTP.counter(
    "ragtime_rate_limit_store_failures_total",
    "Requests limited in memory, as the shared store was slow or away",
)
CONNECTIONS_CUT = HTTP.counter(
    "ragtime_connections_cut_total",
    "Connections cut off by us: idle, open at a stop, read too slowly, or for what the answer's"
    " code tells",
    reason=(
        "idle",
        "stopping",
        "slow_reader",
        "unavailable",
        "invalid_http",
        "headers_too_large",
        "target_too_long",
        "request_timeout",
        "too_many_connections",
        "too_many_waiting",
    ),
)
KEY_SNAPSHOT_AGE_SECONDS = HTTP.gauge(
    "ragtime_key_snapshot_age_seconds",
    "Age of the API keys that were read, at the last attempt to read them",
)

_TYPES = tuple(str(type_.__struct_config__.tag) for type_ in get_args(AnyEvent))
EVENTS_ACCEPTED = INGEST.quick_counter(
    "ragtime_events_accepted_total", "Events answered 202, repeats too", type=_TYPES
)
EVENTS_REJECTED = INGEST.counter(
    "ragtime_events_rejected_total", "Events refused, by the code of their verdict", code=RejectCode
)
PUBLISH_SECONDS = INGEST.quick_histogram(
    "ragtime_publish_seconds", "From a request's events to Kafka's acknowledgement", SECONDS
)
PUBLISH_FAILURES = INGEST.counter(
    "ragtime_publish_failures_total", "Requests answered 503 as Kafka did not take their events"
)
OTHER_KEYS = INGEST.counter(
    "ragtime_other_keys_total",
    "Keys that count as `other`, as their project had too many of the category on that day",
    category=("action", "language", "source"),
)
PENDING_BYTES = INGEST.gauge("ragtime_publish_pending_bytes", "Bytes that wait for Kafka")

LAG_RECORDS = PROCESSOR.gauge(
    "ragtime_lag_records",
    "Records in Kafka that are not counted yet, of each partition that this process owns",
    partition="the numbers of the topic's partitions",
)
PARTITIONS_STUCK = PROCESSOR.gauge(
    "ragtime_partitions_stuck",
    "Partitions that stand still though there is work and both servers answer",
)
PARTITIONS_MISMATCHED = PROCESSOR.gauge(
    "ragtime_partitions_mismatched",
    "Partitions of this process that are not counted: their logs are not what was counted from",
)
SERVER_ANSWERS = PROCESSOR.gauge(
    "ragtime_server_answers",
    "1 where a server answered at the last look, a few seconds ago, else 0",
    server=("kafka", "clickhouse"),
)
EVENTS_COUNTED = PROCESSOR.counter(
    "ragtime_events_counted_total", "Events inserted into ClickHouse"
)
EVENTS_REPEATED = PROCESSOR.counter(
    "ragtime_events_repeated_total", "Events left out, as their id had been counted already"
)
RECORDS_SKIPPED = PROCESSOR.counter(
    "ragtime_records_skipped_total", "Records read again that had been inserted"
)
DEAD_LETTERS = PROCESSOR.counter(
    "ragtime_dead_letters_total", "Lines sent to the dead-letter topic", reason=DeadLetterReason
)
BATCH_EVENTS = PROCESSOR.histogram(
    "ragtime_batch_events", "Events of a batch", (1, 10, 100, 1_000, 10_000, 100_000)
)
INSERT_SECONDS = PROCESSOR.histogram(
    "ragtime_insert_seconds", "Time of an insert", (*SECONDS, 30, 60)
)
VISIBLE_SECONDS = PROCESSOR.histogram(
    "ragtime_visible_seconds",
    "From Kafka's append of a batch's oldest record to the end of its insert",
    LONG_SECONDS,
)
INSERT_RETRIES = PROCESSOR.counter(
    "ragtime_insert_retries_total",
    "Failures of ClickHouse: `recover`: the outcome is unknown; `retry`: refused at the door;"
    " `operator`: a person must mend it; `wait`: a recovery failed",
    reaction=("recover", "retry", "operator", "wait"),
)
KAFKA_RETRIES = PROCESSOR.counter(
    "ragtime_kafka_retries_total",
    "Attempts of the processor that Kafka refused or did not answer, and that it repeats:"
    " `dead_letters`: to send some; `offsets`: to ask what the topic still holds",
    what=("dead_letters", "offsets"),
)
LEASES_LOST = PROCESSOR.counter(
    "ragtime_leases_lost_total",
    "`not_confirmed`: Kafka did not confirm the membership; `passed`: ClickHouse refused an insert"
    " that came too late",
    reason=("not_confirmed", "passed"),
)
RECOVERIES = PROCESSOR.counter("ragtime_recoveries_total", "Partitions recovered")
RECOVERY_SECONDS = PROCESSOR.histogram(
    "ragtime_recovery_seconds",
    "Time of a recovery, of all partitions that it concerned",
    LONG_SECONDS,
)
OFFSETS_MISSING = PROCESSOR.counter(
    "ragtime_offsets_missing_total",
    "Offsets that Kafka did not give any more: lost to its retention",
)
ROLLUPS_MENDED = PROCESSOR.counter(
    "ragtime_rollups_mended_total", "Rollups of a day of a project that had to be mended"
)
REMEMBERED = PROCESSOR.gauge(
    "ragtime_remembered_identities",
    "Identities of events and conversations that are remembered to find duplicates; `exact`:"
    " 16 bytes each; `filtered`: in filters, as memory was too small",
    form=("exact", "filtered"),
)
REMEMBERED_BYTES = PROCESSOR.gauge(
    "ragtime_remembered_bytes", "Memory that those take; `RAGTIME_MEMORY__MAX_BYTES` bounds it"
)
REMEMBERED_BYTES_LIMIT = PROCESSOR.gauge(
    "ragtime_remembered_bytes_limit", "`RAGTIME_MEMORY__MAX_BYTES`"
)
LOOKED_UP = PROCESSOR.counter(
    "ragtime_lookups_total",
    "What was asked of the table as memory could not decide: `late`: events that occurred before"
    " the window; `filtered`: events that a filter has; `conversation`: those of older days",
    kind=("late", "filtered", "conversation"),
)
BATCHES_SPLIT = PROCESSOR.counter(
    "ragtime_batches_split_total",
    "Batches cut in two, as ClickHouse refused all of it again and again",
)


@cache
def shown_by(service: str) -> Shown:
    """What this service shows, whoever asks."""
    BUILD.labels(_release(), service, platform.python_version()).set(1)
    return Shown(group for group in GROUPS if service in group.services)


def _release() -> str:
    try:
        return version("ragtime-analytics")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "unknown"
