"""Whether the keys were made with the pepper that is set: with another one all are refused."""

from collections.abc import Mapping

from libs.access.api_keys import pepper_id
from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.statements import statement

_PEPPERS = statement("doctor_peppers")
_EXPECTED = "keys that were made with RAGTIME_ACCESS__PEPPER, or the one before it"


async def keys(installation: Installation) -> Finding:
    """Keys that are active are known by the pepper."""
    client = await installation.clickhouse()
    found = {str(name): int(number) for name, number in (await client.query(_PEPPERS)).result_rows}
    access = installation.settings.access
    if access is None:
        return warn(
            f"{sum(found.values())} active; their pepper is not known here",
            _EXPECTED,
            "Tell the doctor RAGTIME_ACCESS__PEPPER too, as ingest and query have it.",
        )
    secrets = [one for one in (access.pepper, access.previous_pepper) if one is not None]
    return judge(found, {pepper_id(one.get_secret_value().encode()) for one in secrets})


def judge(found: Mapping[str, int], ours: set[str]) -> Finding:
    """What to say of so many active keys by the name of their pepper. Empty: it was not noted."""
    foreign = {name: number for name, number in found.items() if name and name not in ours}
    active, strangers = sum(found.values()), sum(foreign.values())
    if not strangers:
        return ok(f"{active} active")
    seen = (
        f"{strangers} of {active} active keys were made with another pepper: {', '.join(foreign)}"
    )
    return (fail if strangers == active else warn)(
        seen,
        _EXPECTED,
        "Set the pepper that made them as RAGTIME_ACCESS__PREVIOUS_PEPPER, or rotate them: `ragtime"
        " keys list --json` tells the pepper of each.",
    )
