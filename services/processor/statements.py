"""The statements of the processor: a file of `sql/` each. Pure."""

from pathlib import Path

_SQL = Path(__file__).parent / "sql"


def statement(name: str) -> str:
    """The text of a statement."""
    return (_SQL / f"{name}.sql").read_text("utf-8")
