"""The verb that tells and changes how long raw events are kept: `ragtime retention`."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from clickhouse_connect.driver.asyncclient import AsyncClient
from rich.table import Column, Table

from libs.settings import load_settings
from services.admin.contradictions import of_retention
from services.admin.retention import Kept, keep, kept, months, words
from services.admin.running import new_table, refuse, show_table, with_client
from services.admin.settings import InitSettings

_APPLY = Annotated[bool, typer.Option("--apply", help="Carry it out.")]


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
    show_table(table)
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
    table = new_table("month", *right)
    now = datetime.now(UTC)
    for month, newest, rows, size in found:
        left = max(0, days - (now - newest).days) if days else "all"
        table.add_row(month, f"{rows:,}", f"{size / 1e6:,.1f}", str(left))
    return table
