"""The golden events of libs/events/examples, as tests read them."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parents[1] / "libs" / "events" / "examples"

PROJECT = "museum"
ACCEPTED_AT = datetime(2026, 3, 25, 9, 30, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Example:
    """One file: what was sent, by which key, and the line (with warnings) or the refusal."""

    name: str
    sent: Any
    by_test_key: bool
    line: dict[str, Any]
    refused: dict[str, str]
    warnings: list[dict[str, str]]

    def __str__(self) -> str:
        return self.name


def read_examples(folder: str) -> list[Example]:
    """The examples of `valid` or `refused`."""
    return [_read(path) for path in sorted((EXAMPLES / folder).glob("*.json"))]


def _read(path: Path) -> Example:
    content = json.loads(path.read_text("utf-8"))
    return Example(
        name=path.stem,
        sent=content["sent"],
        by_test_key=content.get("key") == "test",
        line=content.get("line", {}),
        refused=content.get("refused", {}),
        warnings=content.get("warnings", []),
    )
