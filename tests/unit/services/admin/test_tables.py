"""What the command shows as a table: at a terminal, and to a program."""

import re
import sys

import pytest

from services.admin.running import new_table, show_table

_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_ROW = ("key_0123456789abcdef", "museum-ingolstadt", "the kiosk at the entrance " * 4)


def _shown(capsys: pytest.CaptureFixture[str]) -> str:
    table = new_table("id", "project", "label")
    table.add_row(*_ROW)
    show_table(table)
    return capsys.readouterr().out


def test_row_is_one_line_when_a_program_reads_it(capsys: pytest.CaptureFixture[str]) -> None:
    (_, row) = _shown(capsys).splitlines()

    assert [row[row.index(cell) :][: len(cell)] for cell in _ROW] == [*_ROW]


def test_nothing_is_cut_off_when_a_terminal_is_narrow(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    shown = _STYLE.sub("", _shown(capsys))

    assert max(map(len, shown.splitlines())) <= 40
    assert "…" not in shown
