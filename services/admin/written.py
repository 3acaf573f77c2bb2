"""Which lines of which records left rows in the table."""

from dataclasses import dataclass

from aiokafka import ConsumerRecord
from clickhouse_connect.driver.asyncclient import AsyncClient

from services.admin.statements import statement

_WRITTEN = statement("audit_written")
_NO_LINES: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Written:
    """Lines of a record that left rows, and when that record was appended."""

    appended_at_ms: int
    lines: frozenset[int]

    def of(self, record: ConsumerRecord) -> frozenset[int]:
        """Those of this record: another may have its offset, in a log that was made anew or cut."""
        return self.lines if record.timestamp == self.appended_at_ms else _NO_LINES


NOTHING = Written(0, _NO_LINES)


async def written_lines(
    client: AsyncClient, counted_as: str, partition: int, first: int
) -> dict[int, Written]:
    """By offset, from one on, what left rows. `counted_as`: the name that the rows have."""
    result = await client.query(
        _WRITTEN, parameters={"topic": counted_as, "partition": partition, "first": first}
    )
    return {
        offset: Written(appended_ms, frozenset(lines))
        for offset, appended_ms, lines in result.result_rows
    }
