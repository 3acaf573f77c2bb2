"""The verbs about topics: how they differ from the settings, and what an older one has left."""

import asyncio
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.clickhouse.connection import first_line
from libs.settings import load_settings
from services.admin.adoption import Adoption
from services.admin.adoption import adopt as carry_over
from services.admin.contradictions import of_topics
from services.admin.groups import has_readers
from services.admin.running import fail, refuse, with_client
from services.admin.settings import TopicChangeSettings, TopicsSettings
from services.admin.topics import (
    OtherConfig,
    admin_client,
    change_configs,
    check_existence,
    other_configs,
    topic_configs,
)

app = typer.Typer(help="Tell how the topics differ from the settings; carry an older one over.")

_APPLY = Annotated[bool, typer.Option("--apply", help="Carry it out.")]


@app.callback(invoke_without_command=True)
def topics(context: typer.Context, apply: _APPLY = False) -> None:
    """Tell how the topics differ from the settings; `--apply` changes them."""
    if context.invoked_subcommand:
        return
    settings = load_settings(TopicsSettings)
    refuse(of_topics(settings.topics, settings.kafka))

    async def run() -> list[OtherConfig]:
        async with admin_client(settings.kafka) as client:
            wanted = topic_configs(settings.kafka, settings.topics)
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


@app.command()
def adopt(
    topic: Annotated[str, typer.Argument(help="The older topic, as Kafka names it.")],
    apply: _APPLY = False,
) -> None:
    """Tell what of an older topic was not counted; `--apply` carries it into that of the settings.

    May be repeated: each event counts once.
    """
    settings = load_settings(TopicChangeSettings)
    kafka = settings.kafka
    if topic == kafka.events_topic:
        fail(
            f"topic {topic} is the one of the settings: make a new one, whose name"
            " RAGTIME_KAFKA__EVENTS_TOPIC tells, by `ragtime init`; it takes what this one has left"
        )

    async def run(client: AsyncClient) -> Adoption:
        for name in (topic, kafka.events_topic):
            await check_existence(kafka, name)
        async with admin_client(kafka) as admin:
            if apply and await has_readers(admin, settings.group.name, topic):
                fail(
                    f"group {settings.group.name} reads topic {topic}: what is carried over would"
                    " be counted there as well. Stop its processors first. One that ended without"
                    " leaving is a member until its session ends"
                )
        return await carry_over(client, kafka, topic, apply=apply)

    done = with_client(settings.clickhouse, run)
    typer.echo(_words(done, topic, kafka.events_topic, apply=apply))


def _words(done: Adoption, old: str, new: str, *, apply: bool) -> str:
    how = f"carried into {new}" if apply else f"not counted (--apply carries them into {new})"
    no_events = f", {done.no_events} lines that are no events likewise" if done.no_events else ""
    return (
        f"{old}: {done.records} records were not counted: {done.carried} events {how}{no_events},"
        f" {done.counted} are counted as other copies"
    )
