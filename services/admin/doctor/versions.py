"""Who answers, and which version it is."""

import platform
from importlib.metadata import version

from services.admin.doctor.findings import Finding, ok
from services.admin.doctor.installation import Installation


async def ragtime(_installation: Installation) -> Finding:
    """This command itself."""
    return ok(f"ragtime {version('ragtime-analytics')}, Python {platform.python_version()}")


async def clickhouse(installation: Installation) -> Finding:
    """ClickHouse answers our user."""
    client = await installation.clickhouse()
    rows = (await client.query("SELECT version(), uptime()")).result_rows
    found, uptime_s = rows[0]
    return ok(f"ClickHouse {found}, up for {uptime_s / 86_400:.1f} days")


async def kafka(installation: Installation) -> Finding:
    """Kafka answers. Its version is nothing that its protocol tells."""
    cluster = await (await installation.kafka()).describe_cluster()
    return ok(f"{len(cluster['brokers'])} brokers, cluster {cluster['cluster_id']}")
