"""Finds the rows that a server cannot read, without writing any.

They are sent with a lease that passed long ago: a server reads all rows of an insert before it
looks at the constraint. So it refuses the insert in any case, for its lease when it could read all
rows, else for what it could not read.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime

from clickhouse_connect.driver.exceptions import Error

from services.processor.reactions import LEASE_PASSED, code_of, may_be_of_rows, told

NO_LEASE = datetime(2000, 1, 1, tzinfo=UTC)

# A server that refuses this one too has a trouble of its own: then nothing is wrong with any row.
_CONTROL = (
    b'{"type":"session.started","project_id":"-","id":"-","session_id":"-",'
    b'"occurred_at":"2000-01-01 00:00:00","accepted_at":"2000-01-01 00:00:00",'
    b'"appended_at":"2000-01-01 00:00:00","lease":"2000-01-01 00:00:00"}'
)

Insert = Callable[[Sequence[bytes]], Awaitable[None]]


class ProbeInsertedError(Exception):
    """The table took rows whose lease had passed: it lacks its constraint."""


async def refused_rows(rows: Sequence[bytes], insert: Insert) -> dict[int, str]:
    """The places of the rows that cannot be read, with what the server says of each.

    `insert` sends rows, whose lease must be `NO_LEASE`. Raises the driver's `Error` when the server
    cannot be asked now.
    """
    if error := await _refusal([_CONTROL], insert):
        raise error
    return await _refused_among(rows, insert)


async def _refused_among(rows: Sequence[bytes], insert: Insert) -> dict[int, str]:
    error = await _refusal(rows, insert) if rows else None
    if error is None:
        return {}
    if len(rows) == 1:
        return {0: told(error)}
    middle = len(rows) // 2
    first = await _refused_among(rows[:middle], insert)
    second = await _refused_among(rows[middle:], insert)
    return first | {middle + place: what for place, what in second.items()}


async def _refusal(rows: Sequence[bytes], insert: Insert) -> Error | None:
    """Why these rows cannot be read; None where they can."""
    try:
        await insert(rows)
    except Error as error:
        if code_of(error) == LEASE_PASSED:
            return None
        if may_be_of_rows(error):
            return error
        raise
    raise ProbeInsertedError
