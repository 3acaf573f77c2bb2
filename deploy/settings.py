"""Every setting of the product, from the settings classes: its page, and its place in the chart.

`make documents` writes docs/settings.md and the parts of the chart's values.schema.json that name
settings; a test compares. What a setting means is the `description` of its field.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args

from pydantic.fields import FieldInfo

from deploy.local.layout import CHECKOUT
from libs.settings import ENVIRONMENT_PREFIX, Block, ServiceSettings
from services.admin import settings as admin
from services.ingest.settings import Settings as IngestSettings
from services.processor.settings import Settings as ProcessorSettings
from services.query.settings import Settings as QuerySettings

Json = dict[str, Any]

PAGE = CHECKOUT / "docs" / "settings.md"
CHART = CHECKOUT / "deploy" / "helm" / "ragtime-analytics"
CHART_SCHEMA = CHART / "values.schema.json"

_TITLES = {
    "kafka": "Kafka",
    "clickhouse": "ClickHouse",
    "access": "API keys",
    "http": "HTTP",
    "rate_limit": "Limits",
    "log": "Logs",
}
_HEAD = """\
# Settings

<!-- `make documents` writes this page from the settings classes. -->

All settings are environment variables, read once at the start. A nested one is
`RAGTIME_<BLOCK>__<FIELD>`, with two underscores. Durations are in seconds where the name ends with
`_S`, in milliseconds with `_MS`. A wrong value ends a service at its start with exit code 2 and one
line for each wrong variable, never with a value. What is named a secret may stand in a file
instead: `RAGTIME_CLICKHOUSE__PASSWORD_FILE=/run/secrets/password` names it, and so for each; one
newline at its end is cut. Only one of both may be set. What they are for is in
[operating](operating.md), how the chart sets them in [Kubernetes](kubernetes.md).
"""
# What a JSON Schema of pydantic says that the chart's draft-07 takes as it is.
_KEPT = ("type", "enum", "minimum", "maximum", "exclusiveMinimum", "pattern", "description")
# The chart gives these names a value of its own, from what its other values say.
SET_BY_CHART = frozenset(
    {
        "RAGTIME_CLICKHOUSE__CA_FILE",
        "RAGTIME_CLICKHOUSE__CERT_FILE",
        "RAGTIME_CLICKHOUSE__DATABASE",
        "RAGTIME_CLICKHOUSE__KEY_FILE",
        "RAGTIME_CLICKHOUSE__URL",
        "RAGTIME_CLICKHOUSE__USER",
        "RAGTIME_GROUP__INSTANCE",
        "RAGTIME_HTTP__HOST",
        "RAGTIME_HTTP__METRICS_PORT",
        "RAGTIME_HTTP__PORT",
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS",
        "RAGTIME_KAFKA__CA_FILE",
        "RAGTIME_KAFKA__CERTIFICATE_FILE",
        "RAGTIME_KAFKA__DEAD_LETTER_TOPIC",
        "RAGTIME_KAFKA__EVENTS_TOPIC",
        "RAGTIME_KAFKA__KEY_FILE",
        "RAGTIME_KAFKA__SASL_EXTENSIONS",
        "RAGTIME_KAFKA__SASL_MECHANISM",
        "RAGTIME_KAFKA__SECURITY_PROTOCOL",
        "RAGTIME_KAFKA__TOKEN_COMMAND",
        "RAGTIME_KAFKA__TOKEN_FILE",
        "RAGTIME_KAFKA__USERNAME",
        "RAGTIME_RATE_LIMIT__STORE_CA_FILE",
        "RAGTIME_RATE_LIMIT__STORE_CERT_FILE",
        "RAGTIME_RATE_LIMIT__STORE_KEY_FILE",
        "RAGTIME_STOP__DELAY_S",
        "RAGTIME_TOPICS__PARTITIONS",
        "RAGTIME_TRACES__CA_FILE",
        "RAGTIME_TRACES__CERT_FILE",
        "RAGTIME_TRACES__KEY_FILE",
    }
)
# What `ragtime doctor` is told of the services: the chart knows it.
TOLD_TO_DOCTOR = frozenset(
    {
        "RAGTIME_DOCTOR__INGEST_USER",
        "RAGTIME_DOCTOR__PROCESSOR_USER",
        "RAGTIME_DOCTOR__QUERY_USER",
        "RAGTIME_DOCTOR__REPLICAS",
        "RAGTIME_DOCTOR__SERVICES",
        "RAGTIME_GROUP__NAME",
    }
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One variable, as one process reads it."""

    variable: str
    process: str
    section: str  # of the page: the block's name, or nothing
    block: type[Block] | None
    default: str
    schema: Json

    @property
    def is_secret(self) -> bool:
        """Whether it must stand in no file."""
        return bool(self.schema.get("writeOnly"))


def _classes() -> Iterator[tuple[str, type[ServiceSettings]]]:
    yield "ingest", IngestSettings
    yield "processor", ProcessorSettings
    yield "query", QuerySettings
    for one in vars(admin).values():
        if (
            isinstance(one, type)
            and issubclass(one, ServiceSettings)
            and one is not ServiceSettings
        ):
            yield "ragtime", one


@cache
def all_settings() -> tuple[Setting, ...]:
    """Each variable once for each process that reads it."""
    found: dict[tuple[str, str], Setting] = {}
    for process, settings in _classes():
        for one in _settings_of(process, settings):
            found.setdefault((one.variable, one.process), one)
    return tuple(found.values())


def _settings_of(process: str, settings: type[ServiceSettings]) -> Iterator[Setting]:
    schemas = settings.model_json_schema()["properties"]
    for name, info in settings.model_fields.items():
        if block := _block_of(info):
            yield from _settings_of_block(process, name, info, block)
        else:
            variable = ENVIRONMENT_PREFIX + name.upper()
            yield Setting(variable, process, "", None, _default(info), _plain(schemas[name]))


def _block_of(info: FieldInfo) -> type[Block] | None:
    """The block that a field holds; one that may be left out too."""
    candidates = [info.annotation, *get_args(info.annotation)]
    blocks = (one for one in candidates if isinstance(one, type) and issubclass(one, Block))
    return next(blocks, None)


def _settings_of_block(
    process: str, name: str, info: FieldInfo, block: type[Block]
) -> Iterator[Setting]:
    own = None if info.is_required() else info.get_default(call_default_factory=True)
    schemas = block.model_json_schema()["properties"]
    for field, nested in block.model_fields.items():
        variable = f"{ENVIRONMENT_PREFIX}{name}__{field}".upper()
        default = _default(nested) if own is None else _worded(getattr(own, field))
        yield Setting(variable, process, name, block, default, _plain(schemas[field]))


def _plain(schema: Json) -> Json:
    """Without the null of a setting that may be left out: a variable has no null."""
    *others, _ = schema.get("anyOf", [schema, None])
    return schema | (others[0] if len(others) == 1 else {"type": "string"})


def _default(info: FieldInfo) -> str:
    if info.default_factory is not None:
        return "computed"  # what it means says how
    return "required" if info.is_required() else _worded(info.default)


def _worded(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, tuple):
        return f"`{list(value)}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def page() -> str:
    """The text of docs/settings.md."""
    sections: dict[str, dict[str, list[Setting]]] = {}
    for setting in all_settings():
        sections.setdefault(setting.section, {}).setdefault(setting.variable, []).append(setting)
    others = sections.pop("")
    texts = [_section(_title(name), variables) for name, variables in sections.items()]
    return "\n".join([_HEAD, *texts, _section("Others", others)])


def _title(section: str) -> str:
    return _TITLES.get(section, section.replace("_", " ").capitalize())


def _section(title: str, variables: dict[str, list[Setting]]) -> str:
    blocks = [one.block for found in variables.values() for one in found if one.block]
    intro = [_about(blocks), ""] if blocks else []
    head = ["| variable | default | values | read by | meaning |", "|---|---|---|---|---|"]
    rows = [_row(variable, found) for variable, found in variables.items()]
    return "\n".join([f"## {title}", "", *intro, *head, *rows, ""])


def _about(blocks: list[type[Block]]) -> str:
    """What the block is for, in the words of the class that all its readers share."""
    shared = next(one for one in blocks[0].__mro__ if all(issubclass(b, one) for b in blocks))
    return (shared.__doc__ or "").split("\n\n")[0].replace("\n", " ")


def _row(variable: str, found: list[Setting]) -> str:
    schema = found[0].schema
    readers = "all" if len(found) == 4 else ", ".join(_process(one.process) for one in found)
    meaning = schema.get("description", "")
    values = _values(variable, schema)
    return f"| `{variable}` | {_defaults(found)} | {values} | {readers} | {meaning} |"


def _process(name: str) -> str:
    return "`ragtime`" if name == "ragtime" else name


def _defaults(found: list[Setting]) -> str:
    if len({one.default for one in found}) == 1:
        return found[0].default
    return ", ".join(f"{one.default} ({_process(one.process)})" for one in found)


def _values(variable: str, schema: Json) -> str:
    if schema.get("writeOnly"):
        least = schema.get("minLength")
        secret = f"a secret of {least} characters or more" if least else "a secret"
        return f"{secret}; or a file with it, by `{variable}_FILE`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "array":
        return "values with commas between them, or a JSON list"
    return _range(schema)


def _range(schema: Json) -> str:
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        above = f"above {schema['exclusiveMinimum']:g}"
        return above if most is None else f"{above}, to {most:,}"
    if least is not None:
        return f"at least {least:,}" if most is None else f"{least:,} to {most:,}"
    return ""


def chart_schema() -> Json:
    """The chart's values schema: as it stands, with what `<part>.settings` may name made anew."""
    schema: Json = json.loads(CHART_SCHEMA.read_text("utf-8"))
    parts = {"ingest": "ingest", "processor": "processor", "query": "query", "admin": "ragtime"}
    written = {f"{part}Settings": _chart_settings(process) for part, process in parts.items()}
    return schema | {"definitions": schema["definitions"] | written}


def _chart_settings(process: str) -> Json:
    chosen = SET_BY_CHART | (TOLD_TO_DOCTOR if process == "ragtime" else frozenset())
    properties = {
        one.variable: _chart_setting(one.schema)
        for one in all_settings()
        if one.process == process and one.variable not in chosen and not one.is_secret
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _chart_setting(schema: Json) -> Json:
    kept = {word: schema[word] for word in _KEPT if word in schema}
    return kept | ({"items": {"type": "string"}} if schema["type"] == "array" else {})
