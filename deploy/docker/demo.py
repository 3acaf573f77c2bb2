"""The demo of docker-compose.yml, in a container of the admin image: keys and data once, an answer.

`docker compose run --rm demo` makes what is missing and answers; `… demo keys` prints addresses and
keys as NAME=value lines, for a shell on the host.
"""

import os
import sys
from pathlib import Path

from rich.console import Console

from deploy.local.answer import ask_and_show, show_curl
from deploy.local.credentials import write_private
from deploy.local.demo import (
    PROJECT,
    lines,
    make_key,
    ragtime,
    read_environment,
    wait_until_keys_work,
)
from deploy.local.layout import StackError

_KEPT = Path("/var/lib/ragtime/demo.env")
_SENT = _KEPT.with_name("demo.sent")
# From here; the host has other addresses for the same.
_INSIDE = {"RT_INGEST_URL": "http://ingest:8081", "RT_QUERY_URL": "http://query:8080"}


def demo() -> None:
    """Make the keys and send the data, unless an earlier run did; ask, and show the answer."""
    console = Console(highlight=False)
    if not _KEPT.exists():
        own = dict(os.environ)
        keys = {f"RT_{mode.upper()}_KEY": make_key(mode, own) for mode in ("live", "test")}
        write_private(_KEPT, lines({"RT_PROJECT": PROJECT} | keys))
    kept = read_environment(_KEPT)
    wait_until_keys_work(kept | _INSIDE)
    if not _SENT.exists():
        ragtime(["demo"], kept | _INSIDE, show=True)
        _SENT.touch()
    ask_and_show(console, _INSIDE["RT_QUERY_URL"], kept)
    # A key belongs on a terminal, and in no log.
    key = kept["RT_LIVE_KEY"] if console.is_terminal else "$RT_LIVE_KEY"
    show_curl(console, kept | _outside(), key)
    if not console.is_terminal:
        console.print("The keys: docker compose run --rm --no-deps -T demo keys")


def show_keys() -> None:
    """Print the host's addresses and the keys. Raises StackError where `demo` never ran."""
    if not _KEPT.exists():
        raise StackError("there are no keys yet: docker compose run --rm demo makes them")
    sys.stdout.write(lines(_outside() | read_environment(_KEPT)))


def _outside() -> dict[str, str]:
    return {f"RT_{name}_URL": os.environ[f"DEMO_{name}_URL"] for name in ("INGEST", "QUERY")}


def main() -> int:
    """Run the demo, or print its keys; a StackError is told in plain words."""
    verbs = {(): demo, ("keys",): show_keys}
    verb = verbs.get(tuple(sys.argv[1:]))
    if verb is None:
        print("usage: docker compose run --rm demo [keys]", file=sys.stderr)
        return 2
    try:
        verb()
    except StackError as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
