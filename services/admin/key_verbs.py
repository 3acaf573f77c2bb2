"""The verbs of `ragtime keys`: make, list, change, rotate, revoke, and what was done to them."""

import json
import re
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from clickhouse_connect.driver.asyncclient import AsyncClient
from rich.table import Column, Table

from libs.access.api_keys import ApiKey, Mode, Scope
from libs.access.key_changes import Change, KeyChange, list_changes, note_change
from libs.access.key_store import add_key, list_keys, revoke_key, stored_key
from libs.access.key_uses import Activity, activity_of_keys, last_uses
from libs.events.models import PROJECT_ID_PATTERN
from libs.settings import load_settings
from services.admin.keys import (
    MAX_DAYS,
    MAX_RATE,
    KeyRequest,
    as_json,
    events_rate,
    make_key,
    rotate_key,
    spelt_events,
    with_rates,
)
from services.admin.running import cell, fail, new_table, show_table, with_client
from services.admin.settings import KeySettings, KeyTableSettings, TablesSettings

app = typer.Typer(help="Make, list, change, rotate and revoke API keys.", no_args_is_help=True)

_MAX_OVERLAP_H = 24 * 366


def _events(text: str) -> int:
    try:
        return events_rate(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


_EVENTS = Annotated[
    int | None,
    typer.Option(
        parser=_events,
        metavar="NUMBER|unlimited",
        help="Events a minute; without it, or with 0, the default of ingest.",
    ),
]
_JSON = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
_ID = Annotated[str, typer.Argument(help="The id that `keys list` shows.")]


@app.command("create")
def create(  # noqa: PLR0913, PLR0917 - one parameter an option of the command
    project: Annotated[str, typer.Option(help="The project that the key reads and writes.")],
    scope: Annotated[list[Scope], typer.Option(help="May be given several times.")],
    mode: Annotated[Mode, typer.Option(help="A test key never writes live events.")] = Mode.LIVE,
    rate: Annotated[
        int | None, typer.Option(min=1, max=MAX_RATE, help="Analytics requests a minute.")
    ] = None,
    events_per_minute: _EVENTS = None,
    label: Annotated[str, typer.Option(help="A note for people.")] = "",
    expires: Annotated[
        int | None, typer.Option(min=1, max=MAX_DAYS, help="Days until it expires.")
    ] = None,
    as_json_: _JSON = False,
) -> None:
    """Make a key and print it. It is shown this once and cannot be shown again."""
    if not re.match(PROJECT_ID_PATTERN, project) or len(project) > 64:
        fail("--project: 1 to 64 characters of A-Z a-z 0-9 _ . -")
    if project in {".", ".."}:
        fail("--project: clients leave `.` and `..` out of a path, so nobody could reach it")
    settings = load_settings(KeySettings)
    own_events = events_per_minute or None
    request = KeyRequest(project, frozenset(scope), mode, rate, label, expires, own_events)
    key, stored = make_key(request, _pepper(settings), datetime.now(UTC))

    async def add(client: AsyncClient) -> None:
        detail = f"{stored.mode.value}, {' '.join(sorted(stored.scopes))}, {_rates_of(stored)}"
        await _write(client, settings.actor, stored, Change.CREATED, detail)

    with_client(settings.clickhouse, add)
    _show(key, stored, as_json_)


@app.command("list")
def show(as_json_: _JSON = False) -> None:
    """List all keys, revoked ones too; never the keys themselves."""

    async def read(client: AsyncClient) -> tuple[list[ApiKey], dict[str, datetime]]:
        return await list_keys(client), await last_uses(client)

    keys, uses = with_client(load_settings(TablesSettings).clickhouse, read)
    if as_json_:
        typer.echo(json.dumps([as_json(key, uses.get(key.id)) for key in keys]))
    else:
        show_table(_table_of(keys, uses))


@app.command("set-rate")
def set_rate(
    key_id: _ID,
    rate: Annotated[
        int | None,
        typer.Option(min=0, max=MAX_RATE, help="Analytics requests a minute; 0: the default."),
    ] = None,
    events_per_minute: _EVENTS = None,
) -> None:
    """Change the rates of a key; every service goes by them within 5 seconds."""
    if rate is None and events_per_minute is None:
        fail("say --rate, --events-per-minute or both")

    settings = load_settings(KeyTableSettings)

    async def change(client: AsyncClient) -> ApiKey:
        changed = with_rates(await _valid_key(client, key_id), rate, events_per_minute)
        await _write(client, settings.actor, changed, Change.RATES, _rates_of(changed))
        return changed

    changed = with_client(settings.clickhouse, change)
    typer.echo(f"{key_id}: {_rates_of(changed)}")


@app.command("rotate")
def rotate(
    key_id: _ID,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=_MAX_OVERLAP_H, help="How long the old secret goes on.")
    ] = 24,
    as_json_: _JSON = False,
) -> None:
    """Give a key a new secret and print it, this once. Its id, rights and rates stay."""
    settings = load_settings(KeySettings)
    overlap = timedelta(hours=overlap_hours)

    async def change(client: AsyncClient) -> tuple[str, ApiKey]:
        key = await _valid_key(client, key_id)
        secret, rotated = rotate_key(key, _pepper(settings), overlap, datetime.now(UTC))
        detail = f"the old secret goes on for {overlap_hours} h"
        await _write(client, settings.actor, rotated, Change.ROTATED, detail)
        return secret, rotated

    _show(*with_client(settings.clickhouse, change), as_json_)


@app.command("revoke")
def revoke(key_id: _ID) -> None:
    """Revoke a key; every service refuses it within 5 seconds."""
    settings = load_settings(KeyTableSettings)

    async def revoke_noted(client: AsyncClient) -> bool:
        key = await stored_key(client, key_id)
        if key is not None and key.revoked_at is None:
            await note_change(client, settings.actor, key, Change.REVOKED)
        return await revoke_key(client, key_id, datetime.now(UTC))

    if not with_client(settings.clickhouse, revoke_noted):
        fail(f"no key has the id {key_id}")
    typer.echo(f"revoked {key_id}")


@app.command("log")
def log_(
    key_id: Annotated[
        str, typer.Argument(help="Of one key only; the id that `keys list` shows.")
    ] = "",
    as_json_: _JSON = False,
) -> None:
    """Show what was done to keys, when and by whom."""
    clickhouse = load_settings(TablesSettings).clickhouse
    changes = with_client(clickhouse, lambda client: list_changes(client, key_id))
    if as_json_:
        typer.echo(json.dumps([_change_as_json(change) for change in changes]))
        return
    table = new_table("when (UTC)", Column("id", no_wrap=True), "project", "what", "detail", "by")
    for one in changes:
        when = f"{one.changed_at:%Y-%m-%d %H:%M:%S}"
        by = cell(one.changed_by)
        table.add_row(when, one.key_id, one.project_id, one.change, cell(one.detail), by)
    show_table(table)


@app.command("activity")
def activity(
    project: Annotated[str, typer.Option(help="Of the keys of one project only.")] = "",
    hours: Annotated[int, typer.Option(min=1, max=90 * 24, help="How far back.")] = 24,
    as_json_: _JSON = False,
) -> None:
    """Show what became of each key's requests; whose are refused most comes first."""
    clickhouse = load_settings(TablesSettings).clickhouse
    found = with_client(clickhouse, lambda client: activity_of_keys(client, hours, project))
    if as_json_:
        typer.echo(json.dumps([_activity_as_json(*one) for one in found]))
        return
    numbers = ("requests", "refused", "limited", "failed", "rejected")
    table = new_table(
        Column("id", no_wrap=True),
        "project",
        "label",
        *(Column(name, no_wrap=True, justify="right") for name in numbers),
    )
    for key_id, project_id, label, one in found:
        table.add_row(key_id, project_id, cell(label), *map(str, astuple(one)))
    show_table(table)


def _activity_as_json(key_id: str, project_id: str, label: str, one: Activity) -> dict[str, object]:
    return {
        "id": key_id,
        "projectId": project_id,
        "label": label,
        "requests": one.requests,
        "refused": one.refused,
        "limited": one.limited,
        "failed": one.failed,
        "rejectedEvents": one.rejected_events,
    }


def _change_as_json(change: KeyChange) -> dict[str, str]:
    return {
        "changedAt": change.changed_at.isoformat(timespec="milliseconds"),
        "id": change.key_id,
        "projectId": change.project_id,
        "change": change.change,
        "detail": change.detail,
        "changedBy": change.changed_by,
    }


async def _write(client: AsyncClient, actor: str, key: ApiKey, change: Change, detail: str) -> None:
    """Write a key; what was done to it stands in the log before."""
    await note_change(client, actor, key, change, detail)
    await add_key(client, key)


async def _valid_key(client: AsyncClient, key_id: str) -> ApiKey:
    """The key as it is stored; who changes one that is not valid any more should hear it."""
    key = await stored_key(client, key_id)
    if key is None:
        fail(f"no key has the id {key_id}")
    if not key.is_usable(datetime.now(UTC)):
        fail(f"{key_id} is {_state_of(key)}: make a new key")
    return key


def _pepper(settings: KeySettings) -> bytes:
    return settings.access.pepper.get_secret_value().encode()


def _show(secret: str, stored: ApiKey, as_json_: bool) -> None:
    typer.echo(json.dumps({"key": secret, **as_json(stored)}) if as_json_ else secret)


def _table_of(keys: list[ApiKey], uses: dict[str, datetime]) -> Table:
    whole_id = Column("id", no_wrap=True)  # the other verbs ask for it
    table = new_table(whole_id, "project", "mode", "scopes", "rates", "label", "used", "state")
    for key in keys:
        used_at = uses.get(key.id)
        table.add_row(
            key.id,
            key.project_id,
            key.mode.value,
            " ".join(sorted(key.scopes)),
            _rates_of(key),
            cell(key.label),
            f"{used_at:%Y-%m-%d %H:%M}" if used_at else "",
            _state_of(key),
        )
    return table


def _rates_of(key: ApiKey) -> str:
    events = spelt_events(key.events_per_minute)
    requests = f"{key.rate_per_minute or 'default'} requests"
    return requests if events is None else f"{requests}, {events} events"


def _state_of(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return "revoked"
    now = datetime.now(UTC)
    if not key.is_usable(now):
        return f"expired {key.expires_at:%Y-%m-%d}"
    state = "valid" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d}"
    if key.previous_until is not None and now < key.previous_until:
        return f"{state}, two secrets until {key.previous_until:%Y-%m-%d %H:%M}"
    return state
