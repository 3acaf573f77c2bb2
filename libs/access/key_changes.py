"""The table `key_changes`: what was done to keys, when and by whom. Never a secret."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.access.api_keys import ApiKey

_INSERT = """
INSERT INTO key_changes (changed_at, key_id, project_id, change, detail, changed_by)
SELECT now64(3, 'UTC'), {key_id:String}, {project_id:String}, {change:String}, {detail:String},
    {changed_by:String}
"""
_SELECT = """
SELECT toUnixTimestamp64Milli(changed_at), key_id, project_id, change, detail, changed_by
FROM key_changes
WHERE {key_id:String} IN ('', key_id)
ORDER BY changed_at, key_id
"""


class Change(StrEnum):
    """What can be done to a key."""

    CREATED = "created"
    RATES = "rates"
    ROTATED = "rotated"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """One entry. `detail`: what the key became, for people."""

    changed_at: datetime
    key_id: str
    project_id: str
    change: str
    detail: str
    changed_by: str


async def note_change(
    client: AsyncClient, actor: str, key: ApiKey, change: Change, detail: str = ""
) -> None:
    """Note a change that is about to be made. Raises the driver's `Error`."""
    parameters = {
        "key_id": key.id,
        "project_id": key.project_id,
        "change": change.value,
        "detail": detail,
        "changed_by": actor,
    }
    await client.command(_INSERT, parameters=parameters)


async def list_changes(client: AsyncClient, key_id: str = "") -> list[KeyChange]:
    """All changes by time, or those of one key."""
    result = await client.query(_SELECT, parameters={"key_id": key_id})
    return [
        KeyChange(datetime.fromtimestamp(changed_ms / 1000, UTC), *rest)
        for changed_ms, *rest in result.result_rows
    ]
