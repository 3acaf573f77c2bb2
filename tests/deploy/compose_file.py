"""docker-compose.yml as a test reads it: the merged text, without a daemon."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deploy.local.layout import CHECKOUT

COMPOSE = CHECKOUT / "docker-compose.yml"
PROXY = CHECKOUT / "deploy" / "proxy" / "compose.yml"
# ${NAME}, ${NAME:-default} and ${NAME:?what is wrong}
VARIABLE = re.compile(r"\$\{(?P<name>[A-Z_]+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\}")


def compose() -> dict[str, Any]:
    """The file with its anchors merged; variables stand as they are written."""
    loaded: dict[str, Any] = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return loaded


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


def variables() -> Iterator[re.Match[str]]:
    """Each place where a variable is read."""
    return VARIABLE.finditer(COMPOSE.read_text("utf-8"))


def filled(text: str, values: Mapping[str, str]) -> str:
    """A text with its variables replaced by values, or by their defaults."""

    def value(found: re.Match[str]) -> str:
        default = found["word"] if found["kind"] == "-" else ""
        return values.get(found["name"]) or default

    return VARIABLE.sub(value, text)
