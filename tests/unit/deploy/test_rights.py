"""One list of rights: the files and pages that are written from it say the same."""

import re
import xml.etree.ElementTree as ET

import pytest

from deploy import rights
from deploy.local.layout import CHECKOUT
from libs.clickhouse.rights import INSERT, RIGHTS, SELECT, SERVICES, rights_of, tables_of

_SYSTEM_TABLE = re.compile(r"\bsystem\.(\w+)")


def _granted(text: str) -> dict[str, list[str]]:
    users = ET.fromstring(text).find("users")  # noqa: S314 - our own file
    assert users is not None
    return {
        user.tag: [str(query.text) for query in user.findall("grants/query")]
        for user in users
        if user.find("grants") is not None
    }


def test_server_grants_what_the_list_says() -> None:
    granted = _granted(rights.USERS.read_text("utf-8"))

    assert granted == {name: [grant.sql("ragtime") for grant in rights_of(name)] for name in RIGHTS}


@pytest.mark.parametrize("service", SERVICES)
def test_page_tells_operators_what_the_list_says(service: str) -> None:
    text = rights.PAGE.read_text("utf-8")
    told = re.search(
        rf"^\| {service} \| `SELECT` on (.*); `INSERT` into (.*) \|$", text, re.MULTILINE
    )
    assert told is not None
    reads, inserts = (set(re.findall(r"`([\w.]+)`", part)) for part in told.groups())
    grants = rights_of(service)

    of_system = {one.on for one in grants if one.system_table}
    assert reads == tables_of(grants, SELECT) | of_system
    assert inserts == tables_of(grants, INSERT)


@pytest.mark.parametrize("service", SERVICES)
def test_tables_of_system_are_granted_when_a_statement_names_them(service: str) -> None:
    files = (CHECKOUT / "services" / service).rglob("*")
    texts = [file.read_text("utf-8") for file in files if file.suffix in {".sql", ".py"}]
    named = {name for text in texts for name in _SYSTEM_TABLE.findall(text)}
    grants = rights_of(service)

    assert named <= {one.system_table for one in grants}
