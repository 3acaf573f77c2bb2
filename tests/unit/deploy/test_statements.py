"""No statement of a service is forgotten where the doctor's are listed."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import statements
from deploy.local.layout import CHECKOUT
from libs.clickhouse.rights import SERVICES
from services.admin.doctor.statements import STATEMENTS
from services.processor.writer import INSERT_SETTINGS
from services.query.database import OWN_CAPS, SMALL, caps
from services.query.settings import QuerySettings

_SQL = re.compile(
    r"\s*(?:SELECT|INSERT|WITH|KILL|CREATE|DROP|ALTER|DELETE|UPDATE|TRUNCATE|OPTIMIZE|SYSTEM|SHOW"
    r"|DESCRIBE|EXISTS|EXPLAIN|BACKUP|RESTORE|ATTACH|DETACH|RENAME|SET)\s+[\w({'*]"
)
# What `ragtime` alone asks, in modules that it shares with services.
_OF_THE_COMMAND = {
    "libs.access.key_store": {"_SELECT", "_INSERT"},
    "libs.access.key_uses": {"_ACTIVITY", "_SELECT"},
    "libs.clickhouse.migrations": {"_LEDGER", "_NOTE", "_DATABASE", "_MADE_TABLE"},
}
_MODULES_OF_THE_COMMAND = ("libs.access.key_changes", "libs.clickhouse.schema")


def _modules() -> Iterator[Path]:
    yield from (CHECKOUT / "libs").rglob("*.py")
    for service in SERVICES:
        yield from (CHECKOUT / "services" / service).rglob("*.py")


def _named(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    """Each statement of Python at the top, with the name that it gives."""
    for node in tree.body:
        is_named = isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        yield (node.targets[0].id if is_named else ""), node  # type: ignore[attr-defined]


def _docstrings(tree: ast.Module) -> set[int]:
    return {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }


def _texts(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Each text in SQL: the name at the top of the module, if it has one, and how it begins."""
    documented = _docstrings(tree)
    for name, top in _named(tree):
        for node in ast.walk(top):
            if not isinstance(node, ast.Constant) or id(node) in documented:
                continue
            if isinstance(node.value, str) and _SQL.match(node.value):
                yield name, node.value


def _found() -> Iterator[tuple[str, str, str]]:
    for path in _modules():
        module = ".".join(path.relative_to(CHECKOUT).with_suffix("").parts)
        for name, text in _texts(ast.parse(path.read_text("utf-8"))):
            yield module, name, text


TEXTS = sorted(set(_found()))


@pytest.mark.parametrize(("module", "name", "text"), TEXTS, ids=lambda one: one[:40])
def test_statement_in_the_code_is_tried_by_the_doctor_or_is_the_commands(
    module: str, name: str, text: str
) -> None:
    if module in _MODULES_OF_THE_COMMAND or name in _OF_THE_COMMAND.get(module, ()):
        return
    tried = [one.sql for some in STATEMENTS.values() for one in some]
    sql = getattr(importlib.import_module(module), name) if name else text
    sql = sql.replace("{database}.", "").partition("{tags}")[0]
    assert any(sql.strip() in one for one in tried), f"{module}: add it to deploy/statements.py"


def test_texts_in_the_code_are_found() -> None:
    named = {(module, name) for module, name, _ in TEXTS}
    assert {
        ("libs.access.key_reader", "SUMS"),
        ("libs.clickhouse.migrations", "READ_LEDGER"),
        ("services.processor.recovery", "END_INSERTS"),
    } <= named
    tree = ast.parse('"""SELECT a."""\nasync def f():\n    await ask(f"SELECT 1 FROM {table}")')
    assert list(_texts(tree)) == [("", "SELECT 1 FROM ")]


def test_what_is_the_commands_is_there_and_no_service_imports_it() -> None:
    found = {(module, name) for module, name, _ in TEXTS}
    assert {(module, one) for module, some in _OF_THE_COMMAND.items() for one in some} <= found
    texts = [path.read_text("utf-8") for path in _modules() if "services" in path.parts]
    assert not [one for one in _MODULES_OF_THE_COMMAND for text in texts if one in text]


@pytest.mark.parametrize("service", SERVICES)
def test_files_of_a_service_are_tried(service: str) -> None:
    files = (CHECKOUT / "services" / service / "sql").glob("*.sql")
    tried = {one.sql for one in STATEMENTS[service]}
    assert {file.read_text("utf-8") for file in files} <= tried


def test_statements_go_with_the_settings_of_their_service() -> None:
    sent = {
        service: {one.name: (one.sent, one.settings) for one in some}
        for service, some in STATEMENTS.items()
    }
    limits = caps(QuerySettings())
    tagged = INSERT_SETTINGS | {"log_comment": "ragtime-insert,0,"}
    assert sent["processor"]["INSERT INTO events"] == ({}, tagged)
    assert sent["processor"]["mend_days"] == ({}, tagged)
    assert sent["query"]["counts_of_project"] == (limits, {})
    assert sent["query"]["counts_of_project (small)"] == (limits, SMALL)
    assert sent["query"]["keys_rows"] == (OWN_CAPS, {})
    assert sent["query"]["INSERT INTO key_uses"] == (OWN_CAPS, {"async_insert": 0})
    assert sent["ingest"]["INSERT INTO key_uses"] == ({}, {"async_insert": 0})


def test_file_is_as_it_is_written_from_the_code() -> None:
    assert statements.FILE.read_text("utf-8") == statements.statements_file()
