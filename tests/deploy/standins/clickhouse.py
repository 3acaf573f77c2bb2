"""ClickHouse's engine behind the local stack's gateway, with the ports, users and variables that
docker-compose.yml gives the server. The rights are those of users.d: both are
written from one list.
"""

import os
from pathlib import Path

from deploy.local.credentials import write_users
from libs.clickhouse.rights import RIGHTS

_USERS = Path("/tmp/users.json")  # noqa: S108 - the container's own, and in memory


def main() -> None:
    """Write the gateway's file of users from the passwords, become the gateway."""
    write_users(
        _USERS, {name: os.environ[f"CLICKHOUSE_{name.upper()}_PASSWORD"] for name in RIGHTS}
    )
    own = {
        "GATEWAY_HOST": "0.0.0.0",
        "GATEWAY_PORT": "8123",
        "GATEWAY_DATA_DIR": "/var/lib/clickhouse/data",
        "GATEWAY_USERS_FILE": str(_USERS),
    }
    line = ["python", "-m", "deploy.local.gateway"]
    os.execvpe(line[0], line, os.environ | own)  # noqa: S606 - signals reach it without a go-between


if __name__ == "__main__":
    main()
