"""The verb `ragtime doctor`: one screen, an exit code for cron, JSON for programs."""

import asyncio
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.text import Text

from libs.settings import load_settings
from services.admin.doctor.examination import CHECKS, examine
from services.admin.doctor.findings import EXIT_CODES, Finding, Status, as_json, worst
from services.admin.doctor.installation import installation
from services.admin.doctor.metrics import write_metrics
from services.admin.doctor.pushgateway import (
    NOT_PUSHED,
    PushError,
    Pushgateway,
    push,
    read_labels,
    read_url,
)
from services.admin.running import new_table, printable
from services.admin.settings import DoctorSettings

_STYLES = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "bold red"}


def doctor(  # noqa: PLR0913, PLR0917 - one parameter an option of the command
    as_json_: Annotated[
        bool, typer.Option("--json", help="Print JSON instead of a screen.")
    ] = False,
    metrics: Annotated[
        Path | None,
        typer.Option(help="Also write a file of metrics, for a collector of text files."),
    ] = None,
    push_to: Annotated[
        str | None,
        typer.Option("--push", help="Also push metrics to the Pushgateway at this URL."),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option(help="NAME=VALUE, with what is pushed; may be given several times."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(help="Leave a check out; may be given several times.")
    ] = None,
    warnings_pass: Annotated[
        bool, typer.Option("--warnings-pass", help="Exit 0 where all that is found is warnings.")
    ] = False,
) -> None:
    """Look at everything, and say what to do; exit 0: all is well, 1: warnings, 2: failures,
    3: it could not be pushed."""
    left_out = set(skip or ())
    if unknown := left_out - CHECKS.keys():
        raise typer.BadParameter(
            f"no such check: {', '.join(sorted(unknown))}. There are {', '.join(CHECKS)}",
            param_hint="--skip",
        )
    gateway = _gateway(push_to, label or [])
    settings = load_settings(DoctorSettings)
    found = asyncio.run(_examine(settings, left_out))
    if metrics is not None:
        try:
            write_metrics(metrics, found)
        except OSError as error:
            raise typer.BadParameter(
                f"{error.strerror}: {metrics}", param_hint="--metrics"
            ) from None
    if as_json_:
        typer.echo(json.dumps(as_json(found, datetime.now(UTC))))
    else:
        Console().print(screen(found))
    if gateway is not None:
        _push(gateway, found, settings.doctor.deadline_s)
    verdict = worst(finding.status for finding in found.values())
    passes = warnings_pass and verdict is Status.WARN
    raise typer.Exit(EXIT_CODES[Status.OK if passes else verdict])


def _gateway(url: str | None, labels: list[str]) -> Pushgateway | None:
    if url is None:
        if labels:
            raise typer.BadParameter("it belongs to --push", param_hint="--label")
        return None
    try:
        return Pushgateway(read_url(url), read_labels(labels))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--push, --label") from None


def _push(to: Pushgateway, found: dict[str, Finding], timeout_s: float) -> None:
    try:
        push(to, found, timeout_s)
    except PushError as error:
        told = printable(f"ragtime: what was found could not be pushed to {to.url}: {error}")
        typer.echo(told, err=True)
        raise typer.Exit(NOT_PUSHED) from None


async def _examine(settings: DoctorSettings, left_out: set[str]) -> dict[str, Finding]:
    async with installation(settings) as looked_at:
        checks = {name: check for name, check in CHECKS.items() if name not in left_out}
        return await examine(looked_at, checks)


def screen(found: dict[str, Finding]) -> Group:
    """All of it for people."""
    table = new_table("check", "", "seen")
    for name, finding in found.items():
        table.add_row(name, Text(finding.status, _STYLES[finding.status]), _told(finding))
    numbers = {
        status: sum(finding.status is status for finding in found.values()) for status in Status
    }
    verdict = ", ".join(f"{number} {status}" for status, number in numbers.items())
    return Group(table, Text(f"\n{verdict}"))


def _told(finding: Finding) -> Text:
    text = Text(printable(finding.seen))
    if finding.status is not Status.OK:
        text.append(f"\nright: {finding.expected}\n", "dim").append(finding.advice, "bold")
    return text
