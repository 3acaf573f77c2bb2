"""What goes wrong, as Prometheus sees it, and which alerts tell so.

Values as promtool writes them: `5x90`, 5 for 90 minutes; `0+60x90`, 60 more each minute. What
changes does so after half an hour, and is looked at later.
"""

from collections.abc import Mapping
from dataclasses import dataclass

Series = dict[str, str | None]

_API = 'route="/api/v1/projects/{projectId}/analytics"'


# A host of a hundred events a day: something happens every fifteen minutes.
_SELDOM = " ".join(f"{number}x14" for number in range(13))
# One of a few hundred a day.
_NOW_AND_THEN = " ".join(f"{number}x3" for number in range(30))


def _of(service: str, number: int = 1) -> str:
    return f'instance="{service}-{number}",job="ragtime-{service}"'


_INGEST, _PROCESSOR, _QUERY = _of("ingest"), _of("processor"), _of("query")


def _build(service: str, version: str = "1", number: int = 1) -> str:
    return f'ragtime_build_info{{service="{service}",version="{version}",{_of(service, number)}}}'


def _answers(status: int) -> str:
    return f'ragtime_requests_total{{service="query",{_API},status="{status}",{_QUERY}}}'


def _faster_than(le: str) -> str:
    return f'ragtime_request_seconds_bucket{{service="query",{_API},le="{le}",{_QUERY}}}'


def _visible(le: str) -> str:
    return f'ragtime_visible_seconds_bucket{{le="{le}",{_PROCESSOR}}}'


def _check(name: str, process: str) -> str:
    return f'ragtime_ready_check{{check="{name}",{process}}}'


def _server(name: str) -> str:
    return f'ragtime_server_answers{{server="{name}",{_PROCESSOR}}}'


def _examined(check: str) -> str:
    return f'ragtime_doctor_check{{check="{check}",instance="host",job="node"}}'


_LOOKED_AT = 'ragtime_doctor_examined_timestamp_seconds{instance="host",job="node"}'
_LAG = f'ragtime_lag_records{{partition="0",{_PROCESSOR}}}'
_BATCHES = f"ragtime_batch_events_count{{{_PROCESSOR}}}"
_STUCK = f"ragtime_partitions_stuck{{{_PROCESSOR}}}"
_MISMATCHED = f"ragtime_partitions_mismatched{{{_PROCESSOR}}}"
_FAILED = f"ragtime_publish_failures_total{{{_INGEST}}}"
_REJECTED = f'ragtime_events_rejected_total{{code="invalid_field",{_INGEST}}}'
_LETTERS = f'ragtime_dead_letters_total{{reason="not_json",{_PROCESSOR}}}'
_OPERATOR = f'ragtime_insert_retries_total{{reaction="operator",{_PROCESSOR}}}'
_PUT_OFF = f'ragtime_insert_retries_total{{reaction="wait",{_PROCESSOR}}}'
_KAFKA_PUT_OFF = f'ragtime_kafka_retries_total{{what="dead_letters",{_PROCESSOR}}}'
_ACCEPTED = f'ragtime_events_accepted_total{{type="chat.message",{_INGEST}}}'
_RECOVERIES = f"ragtime_recovery_seconds_count{{{_PROCESSOR}}}"
_REMEMBERED = f"ragtime_remembered_bytes{{{_PROCESSOR}}}"
_SPLIT = f"ragtime_batches_split_total{{{_PROCESSOR}}}"
_LEASES = f'ragtime_leases_lost_total{{reason="passed",{_PROCESSOR}}}'
_MISSING = f"ragtime_offsets_missing_total{{{_PROCESSOR}}}"
_LIMITED = f'ragtime_rate_limited_total{{limit="key",{_QUERY}}}'
_STORE = f"ragtime_rate_limit_store_failures_total{{{_QUERY}}}"
_FULL = f'ragtime_connections_cut_total{{reason="too_many_connections",{_INGEST}}}'
_KEYS = f"ragtime_key_snapshot_age_seconds{{{_QUERY}}}"
_FILES = f"process_open_fds{{{_INGEST}}}"

ALL_IS_WELL: Series = {
    _build("ingest"): "1x120",
    _build("processor"): "1x120",
    _build("query"): "1x120",
    f"up{{{_INGEST}}}": "1x120",
    f"up{{{_PROCESSOR}}}": "1x120",
    f"up{{{_QUERY}}}": "1x120",
    'up{instance="other",job="other"}': "0x120",
    _FILES: "100x120",
    f"process_max_fds{{{_INGEST}}}": "1024x120",
    _answers(200): "0+600x120",
    _answers(500): "0x120",
    _answers(503): "0x120",
    # A proxy may ask a service that is not ready as often as it likes.
    f'ragtime_requests_total{{service="query",route="/healthz/ready",status="503",{_QUERY}}}': (
        "0+600x120"
    ),
    _faster_than("0.1"): "0+600x120",
    _faster_than("5"): "0+600x120",
    _faster_than("+Inf"): "0+600x120",
    _FAILED: "0x120",
    _ACCEPTED: "0+1000x120",
    _REJECTED: "0+10x120",
    _LAG: "0 40 10 3000 5 0 20 30x113",
    _BATCHES: "0+100x120",
    _STUCK: "0x120",
    _visible("1"): "0+100x120",
    _visible("300"): "0+100x120",
    _visible("+Inf"): "0+100x120",
    _LETTERS: "0x120",
    _OPERATOR: "0x120",
    _PUT_OFF: "0x10 1x109",
    _KAFKA_PUT_OFF: "0x10 1x109",
    # A rebalance.
    _RECOVERIES: "1x10 2x109",
    _REMEMBERED: "70x120",
    f"ragtime_remembered_bytes_limit{{{_PROCESSOR}}}": "100x120",
    _SPLIT: "0x120",
    _LEASES: "0x10 1x109",
    _MISSING: "0x120",
    _LIMITED: "0+6x120",
    _STORE: "0x120",
    _FULL: "0x120",
    _KEYS: "1x120",
    _check("dead_letters", _PROCESSOR): "1x120",
    _check("partitions", _PROCESSOR): "1x40 0x4 1x75",
    _check("topic", _PROCESSOR): "1x120",
    _check("clickhouse", _PROCESSOR): "1x120",
    _check("kafka", _PROCESSOR): "1x120",
    _check("kafka", _INGEST): "1x120",
    _check("clickhouse", _QUERY): "1x120",
    _check("migrations", _QUERY): "1x120",
    _server("kafka"): "1x120",
    _server("clickhouse"): "1x120",
    _examined("lag"): "0x120",
    _examined("topics"): "0x120",
    _LOOKED_AT: "0+60x120",
}


@dataclass(frozen=True)
class Case:
    """What differs from a good day; None: the series is gone. `at`: when it is looked at."""

    name: str
    series: Mapping[str, str | None]
    alerts: frozenset[str]
    at: str = "45m"


def _case(name: str, series: Mapping[str, str | None], *alerts: str, at: str = "45m") -> Case:
    return Case(name, series, frozenset(f"Ragtime{alert}" for alert in alerts), at)


CASES = [
    _case("all is well", {}),
    _case("no processor", {_build("processor"): "1x30"}, "ServiceAbsent"),
    _case("a process is gone", {f"up{{{_QUERY}}}": "1x30 0x90"}, "ProcessDown"),
    _case("a bug, once", {_answers(500): "0x40 1x80"}, "Bug"),
    _case("errors of ours", {_answers(503): "0x30 0+60x90"}, "ServerErrors"),
    _case("few errors of ours", {_answers(503): "0x30 0+1x90"}),
    _case("connections are full", {_FULL: "0x30 0+5x90"}, "ConnectionsFull"),
    _case("files run out", {_FILES: "100x30 1000x90"}, "FilesRunOut"),
    _case("an update goes on", {_build("query", "2", 2): "1x120"}, at="45m"),
    _case("an update has stopped", {_build("query", "2", 2): "1x120"}, "ReleasesDiffer", at="90m"),
    _case("Kafka takes nothing", {_FAILED: "0x30 0+30x90"}, "PublishFailures"),
    _case("a producer sends rubbish", {_REJECTED: "0x20 0+500x100"}, "RejectsSpike"),
    _case("nothing is counted", {_BATCHES: "0+100x30 3000x90"}, "NothingCounted"),
    _case(
        "one processor counts nothing while another one does",
        {
            _BATCHES: "0+100x30 3000x90",
            f'ragtime_lag_records{{partition="1",{_of("processor", 2)}}}': "0x120",
            f"ragtime_batch_events_count{{{_of('processor', 2)}}}": "0+100x120",
        },
        "NothingCounted",
    ),
    _case("nothing to count", {_BATCHES: "0+100x30 3000x90", _LAG: "0x120"}),
    _case("a partition stands still", {_STUCK: "0x30 1x90"}, "PartitionsStuck"),
    _case("a topic is another", {_MISMATCHED: "0x30 1x90"}, "TopicMismatch"),
    _case("counting falls behind", {_LAG: "0x10 2000+500x110"}, "LagGrows"),
    _case("counting catches up", {_LAG: "0x10 90000-500x110"}),
    _case("events are late", {_visible("1"): "0+100x30 3000x90"}, "EventsLate"),
    _case(
        "partitions are not taken over",
        {_check("partitions", _PROCESSOR): "1x30 0x90"},
        "PartitionsNotReady",
    ),
    _case(
        "partitions are not taken over while ClickHouse is away",
        {_check("partitions", _PROCESSOR): "1x30 0x90", _server("clickhouse"): "1x30 0x90"},
        "ClickHouseAway",
    ),
    _case("ClickHouse puts inserts off", {_PUT_OFF: "0x30 0+1x90"}, "InsertsWait"),
    _case("Kafka takes no dead letters", {_KAFKA_PUT_OFF: "0x30 0+1x90"}, "KafkaRetries"),
    _case("a dead letter", {_LETTERS: "0x40 1x80"}, "DeadLetters"),
    _case(
        "too many dead letters",
        {_check("dead_letters", _PROCESSOR): "1x30 0x90"},
        "DeadLettersHeld",
    ),
    _case("a right is missing", {_OPERATOR: "0x30 0+10x90"}, "OperatorNeeded"),
    _case("recoveries without end", {_RECOVERIES: "1x30 2+1x90"}, "RecoveryLoop"),
    _case("memory is nearly full", {_REMEMBERED: "70x30 85x90"}, "MemoryNearItsBound", at="50m"),
    _case("a batch is refused", {_SPLIT: "0x40 1x80"}, "BatchesSplit"),
    _case("leases pass", {_LEASES: "0x30 1+1x90"}, "LeasesLost"),
    _case("Kafka has deleted events", {_MISSING: "0x30 500x90"}, "OffsetsMissing"),
    _case("answers are slow", {_faster_than("0.1"): "0+600x20 12000x100"}, "AnswersSlow"),
    _case("a caller asks too often", {_LIMITED: "0x20 0+100x100"}, "RateLimitedSpike"),
    _case("the store is away", {_STORE: "0x30 0+10x90"}, "RateLimitStoreAway"),
    _case("Kafka is away for ingest", {_check("kafka", _INGEST): "1x30 0x90"}, "KafkaAway"),
    _case("Kafka is away for the processor", {_server("kafka"): "1x30 0x90"}, "KafkaAway"),
    _case(
        "a processor starts while ClickHouse is away",
        {
            _server("kafka"): None,
            _server("clickhouse"): None,
            _check("kafka", _PROCESSOR): "0x120",
            _check("clickhouse", _PROCESSOR): "0x120",
        },
        "ClickHouseAway",
    ),
    _case(
        "ClickHouse is away",
        {
            _server("clickhouse"): "1x30 0x90",
            _check("clickhouse", _QUERY): "1x30 0x90",
            _check("migrations", _QUERY): "1x30 0x90",
        },
        "ClickHouseAway",
    ),
    _case(
        "the tables are of another release",
        {_check("migrations", _QUERY): "1x30 0x90"},
        "MigrationsWaiting",
    ),
    _case("the doctor finds a failure", {_examined("lag"): "0x30 2x90"}, "DoctorFinds"),
    _case("the doctor warns", {_examined("lag"): "0x30 1x90"}),
    _case("the doctor looks no more", {_LOOKED_AT: "0+60x10 600x109"}, "DoctorSilent", at="105m"),
    _case("few requests, and all is well", {_answers(200): _SELDOM}),
    _case(
        "few requests, and all are errors of ours",
        {_answers(200): "0x120", _answers(503): _SELDOM},
        "ServerErrors",
        at="80m",
    ),
    _case(
        "few events, and all are rejected",
        {_ACCEPTED: "0x120", _REJECTED: _SELDOM},
        "RejectsSpike",
        at="80m",
    ),
    _case(
        "few batches, and all are late",
        {_visible("1"): "0x120", _visible("300"): _SELDOM, _visible("+Inf"): _SELDOM},
        "EventsLate",
        at="80m",
    ),
    _case(
        "few answers, and all are slow",
        {_faster_than("0.1"): "0x120", _faster_than("5"): _SELDOM, _faster_than("+Inf"): _SELDOM},
        "AnswersSlow",
        at="80m",
    ),
    _case("few requests, and the store is away", {_STORE: _SELDOM}, "RateLimitStoreAway", at="80m"),
    _case(
        "one event, and it is not counted",
        {_LAG: "0x30 1x90", _BATCHES: "3x120", _ACCEPTED: "0x30 1x90", _REJECTED: "0x120"},
        "NothingCounted",
    ),
    # All within a quarter of an hour of the half hour at which it begins.
    _case(
        "few events, and those of one partition are not counted",
        {_LAG: "0x30 1x90", _BATCHES: _NOW_AND_THEN},
        "PartitionWaits",
    ),
    _case(
        "few events, and fewer are counted than come",
        {_LAG: "0x30 1+0.1x90", _BATCHES: _NOW_AND_THEN},
        "PartitionWaits",
    ),
    _case(
        "few events, which are seen before they are counted",
        {_LAG: " ".join(["0 0 1 1"] * 30), _BATCHES: _NOW_AND_THEN},
    ),
    _case(
        "few events, and ClickHouse was away for long",
        {_LAG: "0x30 9x11 0x78", _BATCHES: "0x41 " + "1x3 2x3 3x69"},
        at="46m",
    ),
    _case("the keys cannot be read", {_KEYS: "1x30 600x90"}, "KeysStale"),
]
