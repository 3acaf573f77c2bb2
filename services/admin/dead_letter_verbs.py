"""The verbs of `ragtime dead-letters`."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.events.reasons import DeadLetterReason
from libs.settings import load_settings
from services.admin.dead_letters import Letter, Replay, read_letters, replay
from services.admin.running import cell, fail, new_table, printable, show_table, with_client
from services.admin.settings import AuditSettings, DeadLetterSettings

app = typer.Typer(
    help="Look at what could not be counted, and send it again.", no_args_is_help=True
)

_Reason = Annotated[DeadLetterReason | None, typer.Option(help="Only these.")]


@app.command("list")
def show_letters(
    reason: _Reason = None,
    last: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 20,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """List dead letters by their numbers, with reason and place."""
    letters = _read()
    shown = [letter for letter in letters if _has_reason(letter, reason)]
    if as_json:
        typer.echo(json.dumps([_as_json(letter) for letter in shown[-last:]]))
        return
    table = new_table("number", "arrived", "reason", "place", "detail")
    for letter in shown[-last:]:
        table.add_row(
            str(letter.number),
            f"{letter.arrived_at:%Y-%m-%d %H:%M:%S}",
            cell(letter.headers.get("reason", "")),
            cell(letter.place),
            cell(letter.headers.get("detail", "")),
        )
    show_table(table)
    typer.echo(f"{min(last, len(shown))} of {len(shown)}")


@app.command("show")
def show_letter(
    number: Annotated[int, typer.Argument(help="As `list` shows it.")],
    raw: Annotated[
        bool, typer.Option("--raw", help="Only the original bytes: for a file, not for a terminal.")
    ] = False,
) -> None:
    """Show one dead letter: its headers and its bytes, with escapes for what shows nothing."""
    letter = _by_number(_read(), number)
    if raw:
        typer.echo(letter.value, nl=False)
        return
    for name, value in letter.headers.items():
        typer.echo(f"{printable(name)}: {printable(value)}")
    typer.echo("")
    for line in letter.value.decode(errors="backslashreplace").split("\n"):
        typer.echo(printable(line))


@app.command("replay")
def replay_letters(
    numbers: Annotated[list[int] | None, typer.Argument(help="As `list` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="All that there are.")] = False,
    reason: _Reason = None,
    file: Annotated[
        Path | None,
        typer.Option(
            help="Corrected lines instead, one JSON object a line, as `show --raw` gives them."
        ),
    ] = None,
) -> None:
    """Send dead letters, or corrected lines, through the same checks into the topic."""
    if sum((bool(numbers), every, file is not None)) != 1:
        fail("give numbers, or --all, or --file")
    settings = load_settings(AuditSettings)
    lines = _lines_of(file) if file else _lines_of_letters(numbers or [], reason, every=every)

    async def run(client: AsyncClient) -> Replay:
        return await replay(client, settings.kafka, lines, datetime.now(UTC))

    done = with_client(settings.clickhouse, run)
    for refusal in done.refused:
        typer.echo(refusal, err=True)
    typer.echo(
        f"{done.sent} sent, {done.counted_already} counted already, {len(done.refused)} refused"
    )
    if done.refused:
        raise typer.Exit(1)


def _read() -> list[Letter]:
    try:
        return asyncio.run(read_letters(load_settings(DeadLetterSettings).kafka))
    except KafkaError as error:
        fail(str(error) or type(error).__name__)


def _lines_of(file: Path) -> list[tuple[str, bytes]]:
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        fail(f"{file}: {error.strerror}")
    return [(f"line {at}", line) for at, line in enumerate(lines, 1) if line.strip()]


def _lines_of_letters(
    numbers: list[int], reason: DeadLetterReason | None, *, every: bool
) -> list[tuple[str, bytes]]:
    letters = _read()
    chosen = letters if every else [_by_number(letters, number) for number in numbers]
    return [
        (f"dead letter {letter.number}", letter.value)
        for letter in chosen
        if _has_reason(letter, reason)
    ]


def _by_number(letters: list[Letter], number: int) -> Letter:
    found = [letter for letter in letters if letter.number == number]
    return found[0] if found else fail(f"there is no dead letter {number}")


def _has_reason(letter: Letter, reason: DeadLetterReason | None) -> bool:
    return reason is None or letter.headers.get("reason") == reason.value


def _as_json(letter: Letter) -> dict[str, object]:
    return {
        "number": letter.number,
        "arrivedAt": letter.arrived_at.isoformat(timespec="milliseconds"),
        "headers": dict(letter.headers),
        "value": letter.value.decode(errors="replace"),
    }
