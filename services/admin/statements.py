"""The SQL of the command: a file a question, in `sql/`."""

from pathlib import Path

_SQL = Path(__file__).parent / "sql"


def statement(name: str) -> str:
    """The text of a file."""
    return (_SQL / f"{name}.sql").read_text("utf-8")
