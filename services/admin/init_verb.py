"""The verb `ragtime init`: topics and tables, made where they are missing."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error

from libs.clickhouse.connection import connect, connect_patiently, first_line
from libs.clickhouse.migrations import MigrationError, apply, pending, read_ledger, read_migrations
from libs.settings import load_settings
from services.admin.contradictions import of_retention, of_topics
from services.admin.groups import check_that_none_runs
from services.admin.noted_topics import counted_places, note_partitions, noted_topic
from services.admin.retention import carry_out
from services.admin.running import fail, refuse
from services.admin.settings import InitSettings, MigrateSettings, TopicChangeSettings
from services.admin.topics import (
    absent_topics,
    make_topics,
    new_topics,
    partitions_of,
)


def init(
    anew: Annotated[
        bool,
        typer.Option(
            "--anew",
            help="Make the topic of events also where the tables were counted from one of its name"
            " that is lost, with what it held and was not counted.",
        ),
    ] = False,
) -> None:
    """Make topics and tables; waits for the servers, and may be repeated."""
    settings = load_settings(TopicChangeSettings if anew else InitSettings)
    refuse(of_topics(settings.topics, settings.kafka))
    refuse(of_retention(settings.retention, settings.topics))
    try:
        asyncio.run(_init(settings))
    except (Error, MigrationError, KafkaError) as error:
        fail(first_line(error))


async def _init(settings: InitSettings) -> None:
    topics = new_topics(settings.kafka, settings.topics)
    absent = await absent_topics(settings.kafka, topics)
    await _make_tables(settings)
    client = await connect(settings.clickhouse)
    try:
        await keep(client, settings)
        if settings.kafka.events_topic in absent:
            await _make_way(client, settings)
        made = await make_topics(settings.kafka, topics)
        typer.echo(f"topics: made {', '.join(made)}" if made else "topics: already there")
        await _note_partitions(client, settings)
    finally:
        await client.close()


async def _make_tables(settings: InitSettings) -> None:
    database = settings.clickhouse.database
    # The database may not exist yet: connect without one.
    client = await connect_patiently(settings.clickhouse.model_copy(update={"database": "system"}))
    to_apply = pending(read_migrations(), await read_ledger(client, database))
    await apply(client, database, to_apply)
    await client.close()
    typer.echo(f"tables: applied {len(to_apply)} migrations" if to_apply else "tables: up to date")


async def keep(client: AsyncClient, settings: MigrateSettings) -> None:
    """Carry the retention of raw events out."""
    if done := await carry_out(client, settings.retention.events_days, datetime.now(UTC)):
        typer.echo(done)


async def _make_way(client: AsyncClient, settings: InitSettings) -> None:
    """Let the topic be made that is not there: without more ado only where none was counted from.

    Its rows have another name from then on, which is noted before it is made: who makes it knows
    that nothing of it was counted.
    """
    topic = settings.kafka.events_topic
    noted = await noted_topic(client, topic)
    counted = await counted_places(client, noted.counted_as)
    if not counted:
        return
    if not isinstance(settings, TopicChangeSettings):
        records = sum(last.offset + 1 for last in counted.values())
        fail(
            f"topic {topic} is not in Kafka, and {records} records of it were counted. Is it the"
            " right cluster, and is its disk there? If the topic is lost for good, `ragtime init"
            " --anew` makes it anew, and what it held and was not counted is lost with it"
            ' ("A topic that is another" in docs/operating.md)'
        )
    await check_that_none_runs(settings.kafka, settings.group.name)
    await note_partitions(client, noted.next_name, settings.topics.partitions)
    typer.echo(f"topics: {topic} is made anew, its events are counted as {noted.next_name}")


async def _note_partitions(client: AsyncClient, settings: InitSettings) -> None:
    topic = settings.kafka.events_topic
    found = await partitions_of(settings.kafka)
    counted_as = (await noted_topic(client, topic)).counted_as
    await note_partitions(client, counted_as, found)
    noted = (await noted_topic(client, topic)).partitions
    if found != noted:
        fail(
            f"topic {topic} was made with {noted} partitions and has {found}: conversations would"
            " count twice. To have more partitions, move to a new topic (docs/operating.md)"
        )
