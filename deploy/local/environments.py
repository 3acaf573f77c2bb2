"""What each process of the stack is told: its own secrets and nobody else's."""

import os

from deploy.local.credentials import read_secrets
from deploy.local.layout import Layout
from deploy.local.ports import Ports

SERVICES = ("ingest", "processor", "query")
# The one processor of this machine: after a crash it gets its partitions back at once.
_GROUP_INSTANCE = "local"
# Each start waits for the leases of the one before; all is near here, so they may be short.
_LEASE_S = "2"


def environment(name: str, where: Layout, ports: Ports) -> dict[str, str]:
    """What a process of the stack needs beside what every program has."""
    if name == "clickhouse":
        return {
            "GATEWAY_PORT": str(ports.clickhouse),
            "GATEWAY_DATA_DIR": str(where.clickhouse),
            "GATEWAY_USERS_FILE": str(where.clickhouse_users),
        }
    if name not in SERVICES:
        return {}
    secrets = read_secrets(where)
    own = _clickhouse(ports, name, secrets[name])
    own["RAGTIME_HTTP__PORT"] = str(getattr(ports, name))
    if name in {"ingest", "processor"}:
        own["RAGTIME_KAFKA__BOOTSTRAP_SERVERS"] = f"127.0.0.1:{ports.kafka}"
    if name in {"ingest", "query"}:
        own["RAGTIME_ACCESS__PEPPER"] = secrets["pepper"]
    if name == "processor":
        own["RAGTIME_GROUP__INSTANCE"] = _GROUP_INSTANCE
        own["RAGTIME_BATCH__LEASE_S"] = _LEASE_S
    return own


def admin_environment(where: Layout, ports: Ports) -> dict[str, str]:
    """What the command `ragtime` needs on this stack."""
    secrets = read_secrets(where)
    return _clickhouse(ports, "admin", secrets["admin"]) | {
        "RAGTIME_KAFKA__BOOTSTRAP_SERVERS": f"127.0.0.1:{ports.kafka}",
        "RAGTIME_ACCESS__PEPPER": secrets["pepper"],
        # The doctor asks the services, and tries what their users may do.
        "RAGTIME_DOCTOR__SERVICES": ",".join(
            f"http://127.0.0.1:{getattr(ports, name)}" for name in SERVICES
        ),
        **{f"RAGTIME_DOCTOR__{name.upper()}_PASSWORD": secrets[name] for name in SERVICES},
    }


def _clickhouse(ports: Ports, user: str, password: str) -> dict[str, str]:
    return {
        "RAGTIME_CLICKHOUSE__URL": f"http://127.0.0.1:{ports.clickhouse}",
        "RAGTIME_CLICKHOUSE__USER": user,
        "RAGTIME_CLICKHOUSE__PASSWORD": password,
    }


def plain_environment() -> dict[str, str]:
    """The environment of the person at the terminal, without what is meant for another stack."""
    plain = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("GATEWAY_", "RT_", "RAGTIME_")) or name == "RAGTIME_LOCAL_DIR"
    }
    return plain | past_proxies()


def past_proxies() -> dict[str, str]:
    """A proxy that leads out of this machine is no way to its own ports; free of blanks."""
    return {
        name: ",".join([*os.environ.get(name, "").split(), "127.0.0.1,localhost"])
        for name in ("NO_PROXY", "no_proxy")
    }
