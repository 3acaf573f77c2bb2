"""The verbs that tell and change what is kept how long: `ragtime topics` and `retention`."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient
from rich.console import Console
from rich.table import Column, Table

from libs.clickhouse.connection import first_line
from libs.settings import load_settings
from services.admin.contradictions import of_retention, of_topics
from services.admin.retention import Kept, keep, kept, months, words
from services.admin.running import fail, refuse, with_client
from services.admin.settings import InitSettings, TopicsSettings
from services.admin.topics import OtherConfig, admin_client, change_configs, other_configs
from services.admin.topics import topic_configs as wanted_configs

_APPLY = Annotated[bool, typer.Option("--apply", help="Carry it out.")]


def topics(apply: _APPLY = False) -> None:
    """Tell how the topics differ from the settings; `--apply` changes them."""
    settings = load_settings(TopicsSettings)
    refuse(of_topics(settings.topics, settings.kafka))

    async def run() -> list[OtherConfig]:
        async with admin_client(settings.kafka) as client:
            wanted = wanted_configs(settings.kafka, settings.topics)
            found = await other_configs(client, wanted)
            if apply:
                for topic in {other.topic for other in found}:
                    changes = {one.name: one.wanted for one in found if one.topic == topic}
                    await change_configs(client, topic, changes)
            return found

    try:
        found = asyncio.run(run())
    except KafkaError as error:
        fail(first_line(error))
    for other in found:
        changed = f"changed: {other.topic}: {other.name} = {other.wanted}"
        typer.echo(changed if apply else str(other))
    if not found:
        typer.echo("the topics are as they are set")


def retention(apply: _APPLY = False) -> None:
    """Tell how long raw events are kept, by month; `--apply` carries out the setting."""
    settings = load_settings(InitSettings)
    days = settings.retention.events_days
    refuse(of_retention(settings.retention, settings.topics))

    async def run(client: AsyncClient) -> tuple[Kept, Table]:
        before = await kept(client)
        if apply and before.days != days:
            await keep(client, days)
        return before, _table_of(await months(client), days)

    before, table = with_client(settings.clickhouse, run)
    Console().print(table)
    if before.days == days:
        typer.echo(f"raw events are kept {words(days)}, as it is set")
    elif apply:
        typer.echo(f"raw events are kept {words(days)} from now on; before: {words(before.days)}")
    else:
        typer.echo(f"raw events are kept {words(before.days)}, set: {words(days)} (--apply)")
        if before.would_delete(days, datetime.now(UTC)):
            typer.echo("this deletes the months that have no days left")


def _table_of(found: list[tuple[str, datetime, int, int]], days: int) -> Table:
    """`found`: month, its newest row, rows, bytes."""
    right = [Column(name, justify="right") for name in ("rows", "MB", "days left, as set")]
    table = Table("month", *right)
    now = datetime.now(UTC)
    for month, newest, rows, size in found:
        left = max(0, days - (now - newest).days) if days else "all"
        table.add_row(month, f"{rows:,}", f"{size / 1e6:,.1f}", str(left))
    return table
