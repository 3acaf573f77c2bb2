"""How the verbs of the command run: with a client, and with errors in plain words."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import NoReturn, TypeVar

import typer
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient
from clickhouse_connect.driver.exceptions import Error
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from libs.clickhouse.connection import connect, first_line
from libs.clickhouse.migrations import MigrationError
from libs.settings import ClickHouseSettings
from services.admin.backups import BackupError

_CHARACTERS_FOR_PROGRAMS = 10_000

T = TypeVar("T")


def fail(message: str) -> NoReturn:
    """Say what is wrong and end with exit code 1."""
    typer.echo(f"ragtime: {message}", err=True)
    sys.exit(1)


def refuse(contradictions: list[str]) -> None:
    """End with exit code 2, as for any wrong setting, where settings contradict each other."""
    if contradictions:
        for contradiction in contradictions:
            typer.echo(contradiction, err=True)
        raise typer.Exit(2)


def printable(text: str) -> str:
    """What others wrote, with escapes for the characters that a terminal would obey.

    Control characters, marks of direction, and whatever else shows nothing of itself.
    """
    return "".join(one if one.isprintable() else _escape(one) for one in text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()


def cell(text: str) -> Text:
    """A cell of a table that shows what others wrote: their brackets are no markup."""
    return Text(printable(text))


def new_table(*columns: Column | str) -> Table:
    """A table without lines, for a terminal of 80 characters: what is longer is never cut off."""
    folded = (Column(one, overflow="fold") if isinstance(one, str) else one for one in columns)
    return Table(*folded, box=None, pad_edge=False)


def show_table(table: Table) -> None:
    """Print a table. Where no terminal shows it a program reads it: each row is one line then."""
    width = None if sys.stdout.isatty() else _CHARACTERS_FOR_PROGRAMS
    Console(width=width).print(table)


def with_client(settings: ClickHouseSettings, work: Callable[[AsyncClient], Awaitable[T]]) -> T:
    """What some work with a client of ClickHouse gives; an expected error ends the command."""

    async def run() -> T:
        client = await connect(settings)
        try:
            return await work(client)
        finally:
            await client.close()

    try:
        return asyncio.run(run())
    except (Error, MigrationError, KafkaError, BackupError) as error:
        fail(first_line(error))
