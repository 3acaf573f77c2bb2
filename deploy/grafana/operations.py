"""The dashboard for operators: what comes in, how far counting is, what is answered, what fails."""

from deploy.grafana.panels import Json, Panel, Row, legend, thresholds
from deploy.grafana.panels import dashboard as whole

_SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
_RATE = "$__rate_interval"
# What a proxy or an orchestrator asks is no request of anybody.
_ASKED = 'route!~"/healthz/.*|/metrics"'
_GOOD, _ODD, _BAD = "green", "orange", "red"


def _query(expression: str, name: str = "") -> Json:
    return {"datasource": _SOURCE, "expr": expression, "legendFormat": name or "__auto"}


def _queries(expressions: dict[str, str]) -> list[Json]:
    listed = [_query(expression, name) for name, expression in expressions.items()]
    return [query | {"refId": chr(ord("A") + at)} for at, query in enumerate(listed)]


def _lines(title: str, about: str, unit: str, expressions: dict[str, str]) -> Panel:
    look: Json = {"custom": {"fillOpacity": 10, "showPoints": "never"}, "min": 0}
    return Panel(
        title,
        about,
        "timeseries",
        _queries(expressions),
        unit,
        options=legend("lastNotNull", "max"),
        look=look,
    )


def _number(
    title: str, about: str, unit: str, expression: str, steps: dict[float | None, str]
) -> Panel:
    options: Json = {"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area"}
    return Panel(
        title,
        about,
        "stat",
        _queries({title: expression}),
        unit,
        width=4,
        height=4,
        options=options,
        look=thresholds(steps) | {"noValue": "–"},
    )


def _quantiles(bucket: str, where: str = "") -> dict[str, str]:
    return {
        name: f"histogram_quantile({part}, sum by (le) (rate({bucket}{where}[{_RATE}])))"
        for name, part in (("half", 0.5), ("95 %", 0.95), ("99 %", 0.99))
    }


def _answers(service: str) -> list[Panel]:
    where = f'{{service="{service}", {_ASKED}}}'
    return [
        _lines(
            f"Answers of {service}",
            "By status. 429 is over a limit, 499 a caller who had gone, 500 a bug, 503 a server"
            " that is away or no room.",
            "reqps",
            {"{{status}}": f"sum by (status) (rate(ragtime_requests_total{where}[{_RATE}]))"},
        ),
        _lines(
            f"Time to answer of {service}",
            "From a request's head to the end of its answer.",
            "s",
            _quantiles("ragtime_request_seconds_bucket", where),
        ),
    ]


_GLANCE = Row(
    "At a glance",
    [
        _number(
            "Processes",
            "Services that answer Prometheus.",
            "none",
            "count(ragtime_build_info)",
            {None: _BAD, 3: _GOOD},
        ),
        _number(
            "Accepted",
            "Events answered 202, a second.",
            "short",
            f"sum(rate(ragtime_events_accepted_total[{_RATE}]))",
            {None: _GOOD},
        ),
        _number(
            "Lag",
            "Records in Kafka that are not counted yet. Each holds up to some hundred events.",
            "short",
            "sum(ragtime_lag_records)",
            {None: _GOOD, 1_000: _ODD, 100_000: _BAD},
        ),
        _number(
            "Visible after",
            "From Kafka's append to the end of the insert, for 95 % of batches.",
            "s",
            "histogram_quantile(0.95, sum by (le) (rate(ragtime_visible_seconds_bucket[5m])))",
            {None: _GOOD, 5: _ODD, 60: _BAD},
        ),
        _number(
            "Dead letters",
            "Lines that could not be counted, within a day: `ragtime dead-letters list`.",
            "short",
            "sum(increase(ragtime_dead_letters_total[1d]))",
            {None: _GOOD, 1: _BAD},
        ),
        _number(
            "Alerts",
            "Alerts of these services that fire now.",
            "none",
            'count(ALERTS{alertname=~"Ragtime.*", alertstate="firing"}) or vector(0)',
            {None: _GOOD, 1: _BAD},
        ),
    ],
)

_INGEST = Row(
    "Ingest",
    [
        _lines(
            "Accepted events",
            "By type. Repeats are among them: they are accepted, and counted once.",
            "short",
            {"{{type}}": f"sum by (type) (rate(ragtime_events_accepted_total[{_RATE}]))"},
        ),
        _lines(
            "Rejected events",
            "By the code of their verdict; producers were told.",
            "short",
            {"{{code}}": f"sum by (code) (rate(ragtime_events_rejected_total[{_RATE}]))"},
        ),
        *_answers("ingest"),
        _lines(
            "Kafka's acknowledgement",
            "From a request's events to the acknowledgement. A request waits for it.",
            "s",
            _quantiles("ragtime_publish_seconds_bucket"),
        ),
        _lines(
            "Not taken by Kafka",
            "Requests answered 503 as Kafka did not take their events in time.",
            "reqps",
            {"requests": f"sum(rate(ragtime_publish_failures_total[{_RATE}]))"},
        ),
        _lines(
            "Waiting for Kafka",
            "Bytes in memory; beyond the limit that is set requests get 503.",
            "bytes",
            {"{{instance}}": "ragtime_publish_pending_bytes"},
        ),
    ],
)

_PROCESSOR = Row(
    "Processor",
    [
        _lines(
            "Lag by partition",
            "Records in Kafka that are not counted yet.",
            "short",
            {"{{partition}}": "sum by (partition) (ragtime_lag_records)"},
        ),
        _lines(
            "Visible after",
            "From Kafka's append of a batch's oldest record to the end of its insert.",
            "s",
            _quantiles("ragtime_visible_seconds_bucket"),
        ),
        _lines(
            "Events",
            "Counted, and left out as repeats.",
            "short",
            {
                "counted": f"sum(rate(ragtime_events_counted_total[{_RATE}]))",
                "repeats": f"sum(rate(ragtime_events_repeated_total[{_RATE}]))",
                "dead letters": f"sum(rate(ragtime_dead_letters_total[{_RATE}]))",
            },
        ),
        _lines(
            "Events of a batch",
            "The mean. Larger batches make fewer parts in ClickHouse.",
            "short",
            {
                "events": f"sum(rate(ragtime_batch_events_sum[{_RATE}]))"
                f" / sum(rate(ragtime_batch_events_count[{_RATE}]))"
            },
        ),
        _lines(
            "Time of an insert",
            "One a batch.",
            "s",
            _quantiles("ragtime_insert_seconds_bucket"),
        ),
        _lines(
            "Failures of ClickHouse",
            "By what the processor does about it. `operator`: a person must mend something.",
            "short",
            {"{{reaction}}": "sum by (reaction) (increase(ragtime_insert_retries_total[5m]))"},
        ),
        _lines(
            "Dead letters",
            "By reason: `ragtime dead-letters list` shows them.",
            "short",
            {"{{reason}}": "sum by (reason) (increase(ragtime_dead_letters_total[5m]))"},
        ),
        _lines(
            "Recoveries",
            "One at each rebalance, and after each insert of unknown outcome. More need a look.",
            "short",
            {
                "recoveries": "sum(increase(ragtime_recovery_seconds_count[5m]))",
                "partitions": "sum(increase(ragtime_recoveries_total[5m]))",
                "leases lost, {{reason}}": (
                    "sum by (reason) (increase(ragtime_leases_lost_total[5m]))"
                ),
            },
        ),
        _lines(
            "Time of a recovery",
            "Of all partitions that it concerned; nothing is counted meanwhile.",
            "s",
            {
                "mean": f"sum(rate(ragtime_recovery_seconds_sum[{_RATE}]))"
                f" / sum(rate(ragtime_recovery_seconds_count[{_RATE}]))"
            },
        ),
        _lines(
            "Read again, mended, missing",
            "Records read again after a rebalance; rollups mended after a kill;"
            " offsets that Kafka has lost: those are events that nobody can count any more.",
            "short",
            {
                "records read again": "sum(increase(ragtime_records_skipped_total[5m]))",
                "rollups mended": "sum(increase(ragtime_rollups_mended_total[5m]))",
                "offsets missing": "sum(increase(ragtime_offsets_missing_total[5m]))",
            },
        ),
        _lines(
            "Memory of identities",
            "To find duplicates, beside its bound: beyond it counting is slower, and as exact.",
            "bytes",
            {
                "{{instance}}": "ragtime_remembered_bytes",
                "{{instance}}, bound": "ragtime_remembered_bytes_limit",
            },
        ),
        _lines(
            "Identities that only filters know, and questions to the table",
            "Filters are used where memory is too small; late events are asked about in any case.",
            "short",
            {
                "in filters": 'sum(ragtime_remembered_identities{form="filtered"})',
                "asked, {{kind}}": "sum by (kind) (increase(ragtime_lookups_total[5m]))",
            },
        ),
        _lines(
            "Keys that count as other",
            "Sources, actions and languages beyond what a project may have on a day.",
            "short",
            {"{{category}}": "sum by (category) (increase(ragtime_other_keys_total[5m]))"},
        ),
        _lines(
            "Partitions that stand still",
            "There is work, both servers answer, and nothing happens: the liveness probe fails.",
            "none",
            {"{{instance}}": "ragtime_partitions_stuck"},
        ),
        _lines(
            "Partitions of another topic",
            "Their logs are not what was counted from: nothing of them is counted.",
            "none",
            {"{{instance}}": "ragtime_partitions_mismatched"},
        ),
    ],
)

_QUERY = Row(
    "Query and limits",
    [
        *_answers("query"),
        _lines(
            "Over a limit",
            "Requests answered 429: of a key, of an address without a key, or a key's events.",
            "reqps",
            {
                "{{service}}, {{limit}}": "sum by (service, limit) ("
                f"rate(ragtime_rate_limited_total[{_RATE}])"
                " * on (instance, job) group_left (service) ragtime_build_info)"
            },
        ),
        _lines(
            "Shared limits away",
            "Requests limited in memory, as Valkey was slow or away: each process counts alone.",
            "reqps",
            {"{{instance}}": f"rate(ragtime_rate_limit_store_failures_total[{_RATE}])"},
        ),
        _lines(
            "Connections cut off",
            "Idle ones are no fault; the others were refused for the reason that is named.",
            "short",
            {"{{reason}}": f"sum by (reason) (rate(ragtime_connections_cut_total[{_RATE}]))"},
        ),
        _lines(
            "Age of the API keys",
            "A key that was revoked goes on working for so long.",
            "s",
            {"{{instance}}": "ragtime_key_snapshot_age_seconds"},
        ),
    ],
)

_PROCESSES = Row(
    "Servers and processes",
    [
        _lines(
            "Checks of readiness",
            "1 passes, 0 does not.",
            "none",
            {
                "{{service}}, {{check}}": "min by (service, check) (ragtime_ready_check"
                " * on (instance, job) group_left (service) ragtime_build_info)"
            },
        ),
        _lines(
            "Servers, as the processor sees them",
            "1 answers, 0 does not.",
            "none",
            {"{{server}}": "min by (server) (ragtime_server_answers)"},
        ),
        _lines(
            "CPU",
            "Of one core.",
            "percentunit",
            {
                "{{service}} {{instance}}": f"rate(process_cpu_seconds_total[{_RATE}])"
                " * on (instance, job) group_left (service) ragtime_build_info"
            },
        ),
        _lines(
            "Memory",
            "Resident.",
            "bytes",
            {
                "{{service}} {{instance}}": "process_resident_memory_bytes"
                " * on (instance, job) group_left (service) ragtime_build_info"
            },
        ),
        _lines(
            "Open files",
            "Connections are files too.",
            "percentunit",
            {
                "{{service}} {{instance}}": "process_open_fds / process_max_fds"
                " * on (instance, job) group_left (service) ragtime_build_info"
            },
        ),
        _lines(
            "Releases",
            "Processes by release; two for long are an update that stopped half-way.",
            "none",
            {"{{version}}": "count by (version) (ragtime_build_info)"},
        ),
    ],
)


def dashboard() -> Json:
    """The whole dashboard."""
    variable = {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
    }
    return whole(
        "ragtime-operations",
        "RAGtime: operations",
        "What comes in, how far counting is, what is answered, what fails.",
        [_GLANCE, _INGEST, _PROCESSOR, _QUERY, _PROCESSES],
        time={"from": "now-6h", "to": "now"},
        refresh="30s",
        templating={"list": [variable]},
    )
