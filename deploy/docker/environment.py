"""Writes the file .env that docker-compose.yml reads: `make env`. Standard library only.

Each password is made for this machine; there are no defaults that could be forgotten.
"""

import os
import secrets
import sys
from pathlib import Path

from deploy.local.layout import CHECKOUT

ENVIRONMENT = CHECKOUT / ".env"
# Letters that mean nothing to a URL, a shell or compose.
_PASSWORD_BYTES = 24
_PEPPER_BYTES = 48
PASSWORDS = (
    "CLICKHOUSE_ADMIN_PASSWORD",
    "CLICKHOUSE_INGEST_PASSWORD",
    "CLICKHOUSE_PROCESSOR_PASSWORD",
    "CLICKHOUSE_QUERY_PASSWORD",
    "VALKEY_PASSWORD",
    "GRAFANA_ADMIN_PASSWORD",
)
_HEAD = """\
# Secrets of `docker compose` on this machine, made by `make env`. Keep a copy in a safe place:
# without ACCESS_PEPPER no API key works any more. What else may stand here is in
# docs/quickstart-docker.md.
"""


def text() -> str:
    """The file's text, with new secrets."""
    made = {name: secrets.token_urlsafe(_PASSWORD_BYTES) for name in PASSWORDS}
    made["ACCESS_PEPPER"] = secrets.token_urlsafe(_PEPPER_BYTES)
    return _HEAD + "".join(f"{name}={value}\n" for name, value in made.items())


def write(path: Path) -> None:
    """Write a file that nobody else can read. Raises FileExistsError rather than overwrite one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text())


def main() -> int:
    """Write .env into the checkout."""
    try:
        write(ENVIRONMENT)
    except FileExistsError:
        print(
            f"{ENVIRONMENT} is there already and stays as it is: the data know its passwords."
            " To begin anew: docker compose down --volumes, and remove the file.",
            file=sys.stderr,
        )
        return 1
    print(f"{ENVIRONMENT} written; next: docker compose up --detach --wait")
    return 0


if __name__ == "__main__":
    sys.exit(main())
