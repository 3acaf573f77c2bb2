"""The names in PromQL, as far as our own expressions go; promtool parses them in tests/deploy."""

import re
from collections.abc import Iterator

from deploy.local.layout import CHECKOUT
from libs.telemetry.metrics import GROUPS

RULES = CHECKOUT / "deploy" / "prometheus" / "rules" / "ragtime.yml"
# What the links of the rules begin with: a template of Prometheus.
RUNBOOKS = '{{ or $externalLabels.runbooks "docs/alerts.md" }}'

_SELECTOR = re.compile(r"\b([a-zA-Z_:][\w:]*)\{([^}]*)\}")
_LABEL = re.compile(r"(\w+)\s*(?:=~|!~|!=|=)")
_GROUPING = re.compile(r"\b(?:by|on|without|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_NAME = re.compile(r"\b[a-zA-Z_:][\w:]*\b(?!\s*\()")
_WORDS = {"and", "or", "unless", "by", "on", "group_left", "bool", "offset", "Inf"}
_TEXT = re.compile(r'"[^"]*"')
_RANGE = re.compile(r"\[[^\]]*\]")

# What every series has that Prometheus has fetched, and what a histogram's buckets have.
_OF_PROMETHEUS = {"job", "instance"}
_FOREIGN: dict[str, set[str]] = {
    "up": set(),
    "ALERTS": {"alertname", "alertstate"},
    "process_cpu_seconds_total": set(),
    "process_resident_memory_bytes": set(),
    "process_open_fds": set(),
    "process_max_fds": set(),
    # What `ragtime doctor` writes (--metrics) or pushes (--push).
    "ragtime_doctor_check": {"check"},
    "ragtime_doctor_examined_timestamp_seconds": set(),
}


def known_series() -> dict[str, set[str]]:
    """Every series that a dashboard or a rule may name, with its labels."""
    known = {name: labels | _OF_PROMETHEUS for name, labels in _FOREIGN.items()}
    for metric in (metric for group in GROUPS for metric in group.declared):
        for name in metric.series:
            own = {"le"} if name.endswith("_bucket") else set()
            known[name] = set(metric.labels) | own | _OF_PROMETHEUS
    return known


def names_in(expression: str) -> set[str]:
    """The series that an expression names."""
    bare = _RANGE.sub("", _TEXT.sub("", expression))
    bare = _GROUPING.sub("", re.sub(r"\{[^}]*\}", "", bare))
    return set(_NAME.findall(bare)) - _WORDS


def faults(expression: str) -> Iterator[str]:
    """What is named that does not exist: series, and labels of theirs."""
    known = known_series()
    names = names_in(expression)
    yield from (f"no series {name}" for name in names - set(known))
    for name, selector in _SELECTOR.findall(expression):
        unknown = set(_LABEL.findall(_TEXT.sub("", selector))) - known.get(name, set())
        yield from (f"{name} has no label {label}" for label in unknown)
    labels = set().union(*(known.get(name, set()) for name in names))
    for grouped in _GROUPING.findall(expression):
        unknown = {label.strip() for label in grouped.split(",")} - labels - {""}
        yield from (f"no label {label} to group by" for label in unknown)
