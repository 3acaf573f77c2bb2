"""Every statement that a service sends to ClickHouse, with its settings.

`ragtime doctor` tries them as the service's user. The files of its own folder `sql` are found. What
it shares with others stands here: the keys, the ledger of the migrations, what is kept. A test
finds a text in the code that is neither here nor the command's own.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from deploy.local.layout import CHECKOUT
from libs.access import key_reader, key_uses
from libs.clickhouse.connection import PING
from libs.clickhouse.first_row import FIRST_ROW
from libs.clickhouse.kept_days import NOTED
from libs.clickhouse.migrations import READ_ENGINES, READ_LEDGER
from libs.clickhouse.rights import SERVICES
from services.processor.recovery import END_INSERTS
from services.processor.writer import INSERT_SETTINGS, tag
from services.query.database import OWN_CAPS, SMALL, caps
from services.query.settings import QuerySettings

Settings = Mapping[str, str | int]
Tried = dict[str, object]

# Its image has no other service's files.
FILE = CHECKOUT / "services" / "admin" / "doctor" / "statements.json"

_SHARED = {"ping": PING, "read_ledger": READ_LEDGER}
_KEYS = {
    "keys_fingerprint": key_reader.FINGERPRINT,
    "keys_sums": key_reader.SUMS,
    "keys_rows": key_reader.ROWS,
}
_TABLES_OF_KEYS = ("key_uses", "key_activity")
_TAGGED = INSERT_SETTINGS | tag([0])
_OF_MENDING = {"mend_days": _TAGGED, "mend_sources": INSERT_SETTINGS}
# Ends nothing: no statement has this comment, and TEST only tells what would be ended.
_END_NOTHING = END_INSERTS.replace("{tags}", "^ragtime-doctor$").replace("ASYNC", "TEST")
_OF_PROCESSOR = {
    "read_engines": READ_ENGINES,
    "end_inserts": _END_NOTHING,
    "first_row": FIRST_ROW,
}
_PARAMETER = re.compile(r"\{(\w+):([^}]+)\}")


def statements_file() -> str:
    """Each service's statements with values that find nothing, as JSON."""
    found = {service: list(_OF_SERVICES[service]()) for service in SERVICES}
    return json.dumps(found, indent=1) + "\n"


def _of_ingest() -> Iterator[Tried]:
    yield from _of_keys({})


def _of_processor() -> Iterator[Tried]:
    for name, sql in _files("processor").items():
        yield _statement(name, sql, settings=_OF_MENDING.get(name, {}))
    for name, sql in (_SHARED | _OF_PROCESSOR).items():
        yield _statement(name, sql)
    yield _insert("events", {}, _TAGGED)


def _of_query() -> Iterator[Tried]:
    limits = caps(QuerySettings())
    for name, sql in _files("query").items():
        yield _statement(name, sql, limits)
        # Where the profile has fixed them, it asks without them.
        yield _statement(f"{name} (small)", sql, limits, SMALL) | {"optional": True}
    yield from _of_keys(OWN_CAPS)
    yield _statement("kept_days", NOTED, OWN_CAPS)


_OF_SERVICES = {"ingest": _of_ingest, "processor": _of_processor, "query": _of_query}


def _of_keys(sent: Settings) -> Iterator[Tried]:
    """What both services that know keys ask and write, and how they wait for the tables."""
    for name, sql in (_SHARED | _KEYS).items():
        yield _statement(name, sql, sent)
    for table in _TABLES_OF_KEYS:
        yield _insert(table, sent, key_uses.INSERT_SETTINGS) | {"optional": True}


def _files(service: str) -> dict[str, str]:
    folder: Path = CHECKOUT / "services" / service / "sql"
    return {file.stem: file.read_text("utf-8") for file in sorted(folder.glob("*.sql"))}


def _statement(
    name: str, sql: str, sent: Settings | None = None, settings: Settings | None = None
) -> Tried:
    """`sent`: by the client, with each statement; `settings`: with this one."""
    sql = sql.replace("{database}.", "")  # the client has it
    given = {"sent": sent or {}, "settings": settings or {}}
    return {"name": name, "sql": sql, "parameters": _values(sql), **given}


def _insert(table: str, sent: Settings, settings: Settings) -> Tried:
    return {"name": f"INSERT INTO {table}", "table": table, "sent": sent, "settings": settings}


def _values(sql: str) -> dict[str, object]:
    return {name: _value(type_) for name, type_ in _PARAMETER.findall(sql)}


def _value(type_: str) -> object:
    if type_.startswith("Array("):
        return []
    if type_.startswith("Date"):
        return "1970-01-01"
    return {"String": "", "Bool": False}.get(type_, 1)
