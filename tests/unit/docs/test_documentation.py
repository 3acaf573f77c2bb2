"""The documents and the code name the same things: settings, metrics, codes, verbs, files.

What the documents are held against comes from the code itself: the settings classes, the metrics,
the enums, and the places where a Problem is made. docs/settings.md is written from the code.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from deploy.local.layout import CHECKOUT
from deploy.local.ports import Ports, variable
from deploy.settings import all_settings
from libs.events.reasons import DeadLetterReason, RejectCode
from libs.telemetry.metrics import GROUPS
from services.admin.doctor.examination import CHECKS
from tests.promql import known_series

README = CHECKOUT / "README.md"
CHANGELOG = CHECKOUT / "CHANGELOG.md"
API = CHECKOUT / "docs" / "api.md"
OPERATING = CHECKOUT / "docs" / "operating.md"
SECURITY = CHECKOUT / "SECURITY.md"
DECISIONS = CHECKOUT / "docs" / "decisions"
DOCUMENTS = [
    *sorted(CHECKOUT.glob("*.md")),
    *(
        path
        for folder in ("deploy", "docs", "libs", "services", "tests")
        for path in sorted((CHECKOUT / folder).rglob("*.md"))
    ),
]
BY_NAME = {str(path.relative_to(CHECKOUT)): path for path in DOCUMENTS}

# Names beside the settings, which are read where they stand.
_OTHER_VARIABLES = re.compile(r"RAGTIME_(?:LOCAL_DIR|TEST_[A-Z_]*[A-Z])\b")
# What the pages of docs/how-to add as an example; no other page may name it.
_EXAMPLES = {"RAGTIME_QUERY__MAX_DAYS", "ragtime_event_warnings_total"}
_VARIABLE = re.compile(r"RAGTIME_[A-Z0-9_]*")
_METRIC = re.compile(r"`(ragtime_[a-z_]+)`")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"`[^`\n]+`|^ {4}.*$", re.MULTILINE)
_MAKE = re.compile(r"\bmake ([a-z]+(?:-[a-z]+)*)")
_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`((?:deploy|docs|libs|requirements|services|tests)/[\w./*-]+)`")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def text_of(path: Path) -> str:
    return path.read_text("utf-8")


def examples_in(document: str) -> set[str]:
    """Names that a page may use though they do not exist."""
    return _EXAMPLES if document.startswith("docs/how-to/") else set()


def python_files(*folders: str) -> Iterator[Path]:
    for folder in folders:
        yield from sorted((CHECKOUT / folder).rglob("*.py"))


def known_variables() -> set[str]:
    """Every variable that the code reads."""
    found = {one.variable for one in all_settings()} | {
        variable(port.name) for port in fields(Ports)
    }
    found |= {f"{one.variable}_FILE" for one in all_settings() if one.is_secret}
    for path in python_files("deploy", "tests"):
        if path != Path(__file__):
            found.update(_OTHER_VARIABLES.findall(text_of(path)))
    return found


def is_known(name: str, known: set[str]) -> bool:
    """Whether a name is known; one that ends with an underscore stands for those it begins."""
    return name in known or (name.endswith("_") and any(one.startswith(name) for one in known))


def problem_codes() -> set[str]:
    """The codes of all problems: `Problem(404, "code", …)`, and those of the framework's own."""
    found: set[str] = set()
    for path in python_files("libs", "services"):
        for node in ast.walk(ast.parse(text_of(path))):
            match node:
                case ast.Call(
                    func=ast.Name("Problem") | ast.Attribute(attr="__init__"),
                    args=[ast.Constant(int()), ast.Constant(str(code)), *_],
                ):
                    found.add(code)
                case ast.Call(
                    func=ast.Attribute(value=ast.Name("_CODES")), args=[_, ast.Constant(str(code))]
                ):
                    found.add(code)
                case ast.Assign(targets=[ast.Name("_CODES")], value=ast.Dict(values=codes)):
                    found.update(
                        str(code.value) for code in codes if isinstance(code, ast.Constant)
                    )
    return found


def code_in(text: str) -> Iterator[str]:
    """Fenced, indented and inline code."""
    yield from _FENCED.findall(text)
    yield from _CODE.findall(_FENCED.sub("", text))


def anchors_of(path: Path) -> set[str]:
    """The anchors of the headings, as code hosts make them."""
    headings = _HEADING.findall(_FENCED.sub("", text_of(path)))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def is_broken(link: str, document: Path) -> bool:
    if re.match(r"[a-z]+:", link):
        return False
    file, _, anchor = link.partition("#")
    target = document if not file else document.parent / file
    return not target.exists() or (bool(anchor) and anchor not in anchors_of(target))


def test_default_port_is_that_of_the_code_when_a_table_says_it() -> None:
    text = text_of(OPERATING)
    for port in fields(Ports):
        row = f"| `{port.name.upper()}_PORT` | `{variable(port.name)}` | {port.default} |"
        assert row in text


# A record that was withdrawn stays as history: what it names may have gone.
IN_FORCE = [name for name, path in BY_NAME.items() if "\n**Withdrawn** by " not in text_of(path)]


@pytest.mark.parametrize("document", IN_FORCE)
def test_every_variable_exists_when_a_document_names_it(document: str) -> None:
    named = set(_VARIABLE.findall(text_of(BY_NAME[document])))
    known = known_variables() | examples_in(document)
    assert not {name for name in named if not is_known(name, known)}


@pytest.mark.parametrize("document", BY_NAME)
def test_every_metric_exists_when_a_document_names_it(document: str) -> None:
    named = set(_METRIC.findall(text_of(BY_NAME[document])))
    known = set(known_series()) | {one.name for group in GROUPS for one in group.declared}
    assert named <= known | examples_in(document)


@pytest.mark.parametrize("codes", [RejectCode, DeadLetterReason])
def test_every_code_and_reason_is_documented_when_code_has_it(
    codes: type[RejectCode] | type[DeadLetterReason],
) -> None:
    text = text_of(API)
    assert not [code.value for code in codes if f"| `{code.value}` |" not in text]


def test_every_problem_is_documented_when_code_has_it() -> None:
    text = text_of(API)
    codes = problem_codes()
    assert {"invalid_date", "no_valid_event", "unavailable", "not_found", "refused"} <= codes
    assert not {code for code in codes if f"`{code}`" not in text}


@pytest.mark.parametrize("document", BY_NAME)
def test_every_verb_of_make_exists_when_a_document_names_it(document: str) -> None:
    verbs = set(re.findall(r"^([a-z-]+):.*## ", text_of(CHECKOUT / "Makefile"), re.MULTILINE))
    named = {verb for code in code_in(text_of(BY_NAME[document])) for verb in _MAKE.findall(code)}
    assert named <= verbs


@pytest.mark.parametrize("document", IN_FORCE)
def test_every_path_exists_when_a_document_names_it(document: str) -> None:
    paths = set(_PATH.findall(text_of(BY_NAME[document])))
    assert not [path for path in paths if not any(CHECKOUT.glob(path.rstrip("/")))]


RECORDS = sorted(path.name for path in DECISIONS.glob("0*.md"))


def test_every_record_is_in_the_table_in_order() -> None:
    listed = re.findall(
        r"^\| \[(\w+)\]\(([\w-]+\.md)\) \|", text_of(DECISIONS / "README.md"), re.MULTILINE
    )
    assert [name for _, name in listed] == RECORDS
    assert all(name.startswith(f"{number}-") for number, name in listed)


@pytest.mark.parametrize("name", RECORDS)
def test_record_has_the_form_of_all_records(name: str) -> None:
    text = text_of(DECISIONS / name)
    number = name.partition("-")[0]
    assert re.match(rf"# {number} [A-Z\w][^—\n]+\n\n", text), "it begins with `# NNNN Title`"
    assert [part for part in ("Question", "Choice") if f"\n**{part}.**" not in text] == []


@pytest.mark.parametrize("document", BY_NAME)
def test_every_link_leads_somewhere_when_it_stays_in_the_checkout(document: str) -> None:
    path = BY_NAME[document]
    assert not [link for link in _LINK.findall(text_of(path)) if is_broken(link, path)]


def test_tests_are_run_by_make_test_when_the_readme_says_how() -> None:
    assert any("make test" in code for code in code_in(text_of(README)))


def test_every_risk_has_a_test_or_a_reason_and_every_test_its_risk() -> None:
    rows = dict(
        re.findall(r"^\| (API\d+|besides: \w+) [^|]*\| (.+) \|$", text_of(SECURITY), re.MULTILINE)
    )
    assert [f"API{number}" for number in range(1, 11)] == list(rows)[:10]
    assert all(
        "tests/security/" in row or row.startswith("no test") for row in list(rows.values())[:10]
    )
    linked = set(re.findall(r"\]\(tests/security/(test_\w+\.py)\)", text_of(SECURITY)))
    assert linked == {path.name for path in (CHECKOUT / "tests" / "security").glob("test_*.py")}


def test_every_check_of_the_doctor_is_documented() -> None:
    documented = re.findall(r"^\| `([a-z-]+)` \| .* \| .* \|$", text_of(OPERATING), re.MULTILINE)
    assert [name for name in documented if name in CHECKS] == list(CHECKS)


def test_every_folder_of_tests_is_in_the_readme() -> None:
    text = text_of(README)
    folders = {path.parent.name for path in (CHECKOUT / "tests").glob("*/*.py")} | {"unit"}
    named = set(re.findall(r"`tests/(\w+)`", text)) | set(re.findall(r"`(\w+)`", text))
    assert folders <= named
