"""The command line `ragtime`. Each verb is a few lines: settings, a client, one call, an answer."""

import asyncio
import json
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.connection import connect_patiently
from libs.clickhouse.migrations import (
    Migration,
    apply,
    missing,
    pending,
    read_ledger,
    wait_until_applied,
)
from libs.clickhouse.migrations import read_migrations as migrations_here
from libs.settings import ClickHouseSettings, load_settings
from libs.telemetry.logs import configure_logs
from services.admin import dead_letter_verbs, kept_verbs, key_verbs, topic_verbs
from services.admin.audit import Audit, audit
from services.admin.backup_verbs import backup_, restore_
from services.admin.demo import DemoError, run_demo
from services.admin.doctor.command import doctor
from services.admin.init_verb import init, keep
from services.admin.running import fail, with_client
from services.admin.settings import AuditSettings, MigrateSettings

app = typer.Typer(
    name="ragtime",
    help="Operate RAGtime analytics: keys, topics and tables, demo data.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(key_verbs.app, name="keys")
app.add_typer(dead_letter_verbs.app, name="dead-letters")
app.add_typer(topic_verbs.app, name="topics")
app.command()(init)
app.command("backup")(backup_)
app.command("restore")(restore_)
app.command()(doctor)
app.command()(kept_verbs.retention)

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def main() -> None:
    """The entry point of the console script."""
    configure_logs("admin", "info", sys.stderr)
    app()


@app.command()
def migrate(
    check: Annotated[bool, typer.Option("--check", help="Exit 1 if something is missing.")] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would be applied.")] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, help="With --check: wait for so many seconds until all is there."),
    ] = 0,
) -> None:
    """Apply the migrations that are missing, and the retention of raw events."""
    if wait and not check:
        raise typer.BadParameter("it belongs to --check", param_hint="--wait")
    settings = load_settings(MigrateSettings)
    database = settings.clickhouse.database
    if wait:
        asyncio.run(_wait(settings.clickhouse, wait))

    async def run(client: AsyncClient) -> list[Migration]:
        ledger = await read_ledger(client, database)
        if check:
            return missing(migrations_here(), ledger)  # what a service asks before it starts
        to_apply = pending(migrations_here(), ledger)
        if not plan:
            await apply(client, database, to_apply)
        return to_apply

    # The database may not exist yet: connect without one.
    found = with_client(settings.clickhouse.model_copy(update={"database": "system"}), run)
    for migration in found:
        typer.echo(f"{'missing' if check or plan else 'applied'} {_file(migration)}")
    if not found:
        typer.echo("the tables are up to date")
    if check and found:
        sys.exit(1)
    if not check and not plan:
        with_client(settings.clickhouse, lambda client: keep(client, settings))


async def _wait(settings: ClickHouseSettings, seconds: float) -> None:
    """Wait until the tables are there, at most so long; the log tells what is missing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            client = await connect_patiently(settings.model_copy(update={"database": "system"}))
            try:
                await wait_until_applied(client, settings.database)
            finally:
                await client.close()


def _file(migration: Migration) -> str:
    return f"{migration.number:04}_{migration.name}.sql"


@app.command("audit")
def run_audit(
    days: Annotated[int, typer.Option(min=1, help="How many days back, by the events' days.")] = 35,
    every_record: Annotated[
        bool, typer.Option("--every-record", help="Read the whole topic, not only the gaps.")
    ] = False,
    as_json_: _JSON = False,
) -> None:
    """Prove that each event is counted once, in every rollup; exit 1 and name what is not."""
    settings = load_settings(AuditSettings)
    since = datetime.now(UTC).date() - timedelta(days=days)

    async def run(client: AsyncClient) -> Audit:
        return await audit(client, settings.kafka, since, every_record=every_record)

    done = with_client(settings.clickhouse, run)
    if as_json_:
        typer.echo(json.dumps(asdict(done)))
    else:
        for difference in done.differences:
            typer.echo(str(difference))
        verdict = f"{len(done.differences)} differences" if done.differences else "no difference"
        looked_at = f"{done.partitions} partitions, days since {done.since}"
        typer.echo(f"{looked_at}, {done.records} records read: {verdict}")
    if done.differences:
        sys.exit(1)


@app.command()
def demo(
    days: Annotated[int, typer.Option(min=1, max=29, help="How many days back.")] = 14,
    sessions: Annotated[int, typer.Option(min=1, max=10_000, help="Sessions a day.")] = 60,
) -> None:
    """Send a demo data set through the ingest API (RT_INGEST_URL, RT_QUERY_URL, RT_PROJECT,
    RT_LIVE_KEY, RT_TEST_KEY in the environment) and wait until it is counted."""
    try:
        run_demo(days, sessions)
    except DemoError as error:
        fail(str(error))
