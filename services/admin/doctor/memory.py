"""Whether the processors can remember what a day brings."""

from services.admin.doctor.findings import Finding, ok, warn
from services.admin.doctor.installation import Installation
from services.admin.doctor.progress import members_of_group
from services.admin.statements import statement
from services.admin.words import size

_IDENTITIES = statement("doctor_identities")
_BYTES_AN_IDENTITY = 16
# Events go by buckets of four hours: some are remembered for 28 hours.
_LONGEST = 28 / 24
_NEAR = 0.8


async def memory(installation: Installation) -> Finding:
    """The identities of a day fit into the memory of the processors that run."""
    client = await installation.clickhouse()
    ((ids, conversations),) = (await client.query(_IDENTITIES)).result_rows
    processors = len(await members_of_group(installation))
    return judge(ids * _LONGEST + conversations, processors, installation.settings.memory.max_bytes)


def judge(identities: float, processors: int, max_bytes: int) -> Finding:
    """What to say of so many identities, shared by so many processors with this bound each."""
    each = identities * _BYTES_AN_IDENTITY / max(1, processors)
    seen = f"{size(each)} for each of {max(1, processors)} processors, of {size(max_bytes)}"
    if each <= max_bytes * _NEAR:
        return ok(seen)
    return warn(
        seen,
        f"at most {_NEAR:.0%} of RAGTIME_MEMORY__MAX_BYTES: beyond it counting is slower",
        "Raise RAGTIME_MEMORY__MAX_BYTES and the processors' memory, or run more of them.",
    )
