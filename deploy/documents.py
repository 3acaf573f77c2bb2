"""What `make documents` writes from the code: schemas, dashboards, pages, a part of the chart.

All is committed so that a change shows in a diff; a test compares.
"""

import json
from pathlib import Path
from typing import Any

import msgspec

from deploy import asyncapi, rights, settings, statements
from deploy.grafana import analytics, operations
from deploy.local.layout import CHECKOUT
from deploy.metrics_table import metrics_document
from libs.events.models import AnyEvent
from services.ingest import openapi as ingest
from services.ingest.routes import EVENTS_PATH
from services.ingest.schemas import event_schema
from services.query import openapi as query
from services.query.routes import PATH as ANALYTICS_PATH

Json = dict[str, Any]

FOLDER = CHECKOUT / "docs" / "schemas"
DASHBOARDS = CHECKOUT / "deploy" / "grafana" / "dashboards"
METRICS = CHECKOUT / "docs" / "metrics.md"
_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_IN_DEFS = "#/$defs/"


def documents() -> dict[str, Json]:
    """Each document by the name of its file."""
    return {
        "query.openapi.json": query.document(ANALYTICS_PATH),
        "ingest.openapi.json": ingest.document(EVENTS_PATH),
        "topics.asyncapi.json": asyncapi.document(),
        "event.schema.json": _schema(
            "event", "An event, as a producer sends it", *event_schema(_IN_DEFS + "{name}")
        ),
        "line.schema.json": _schema(
            "line", "An event, as a line of a record in Kafka", *_schema_of(AnyEvent)
        ),
    }


def _schema_of(type_: object) -> tuple[Json, Json]:
    (schema,), types = msgspec.json.schema_components((type_,), ref_template=_IN_DEFS + "{name}")
    return schema, types


def _schema(name: str, title: str, schema: Json, types: Json) -> Json:
    head = {"$schema": _DRAFT, "$id": f"urn:ragtime:{name}", "title": title}
    return head | asyncapi.portable(schema | {"$defs": types})


def text_of(document: Json) -> str:
    """A document as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """The text of each file that is written from the code."""
    return {
        **{FOLDER / name: text_of(document) for name, document in documents().items()},
        DASHBOARDS / "operations.json": text_of(operations.dashboard()),
        DASHBOARDS / "analytics.json": text_of(analytics.dashboard()),
        METRICS: metrics_document(),
        settings.PAGE: settings.page(),
        settings.CHART_SCHEMA: text_of(settings.chart_schema()),
        rights.USERS: rights.users_file(),
        statements.FILE: statements.statements_file(),
        rights.PAGE: rights.page(),
    }


def main() -> None:
    """Write them all."""
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
