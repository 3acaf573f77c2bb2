"""docs/metrics.md, written from libs/telemetry/metrics.py."""

from collections.abc import Iterator

from libs.telemetry.groups import Declared, Group
from libs.telemetry.metrics import ALL, HTTP, INGEST, PROCESSOR

_TITLES: tuple[tuple[Group, str], ...] = (
    (ALL, "All services"),
    (HTTP, "Ingest and query"),
    (INGEST, "Ingest"),
    (PROCESSOR, "Processor"),
)
_HEAD = """# Metrics

Written from `libs/telemetry/metrics.py` by `make documents`. Who may ask for them, and where, is in
[operating](operating.md#metrics); what to do when one is bad, in [alerts](alerts.md).

Each service shows its own metrics, and `process_…` and `python_…` of the Prometheus client. Where
the values of its labels are known beforehand, a counter or histogram has all its series from the
start, at zero. No label tells a project, a key, a path or an address. A histogram has the series
`…_bucket`, `…_sum` and `…_count`.
"""


def metrics_document() -> str:
    """The whole document."""
    sections = [f"\n## {title}\n\n" + "".join(_table(group)) for group, title in _TITLES]
    return _HEAD + "".join(sections)


def _table(group: Group) -> Iterator[str]:
    yield "| metric | kind | labels | meaning |\n|---|---|---|---|\n"
    for metric in group.declared:
        yield f"| `{metric.name}` | {metric.kind} | {_labels(metric)} | {metric.help} |\n"


def _labels(metric: Declared) -> str:
    return "; ".join(
        f"`{label}`: {values if isinstance(values, str) else ', '.join(map(_code, values))}"
        for label, values in metric.labels.items()
    )


def _code(value: str) -> str:
    return f"`{value}`"
