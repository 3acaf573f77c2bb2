"""The first row that a partition left behind an offset, within a time."""

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.kafka.counted_log import FirstRow
from libs.kafka.last_record import LastRecord

# The range of times is that of a broker's absence, as a rule: the index `appended` makes it cheap.
FIRST_ROW = """
SELECT min(ko), toUnixTimestamp64Milli(argMin(appended_at, ko))
FROM events
WHERE topic = {topic:String} AND kp = {partition:UInt16} AND ko >= {offset:UInt64}
    AND appended_at >= fromUnixTimestamp64Milli({since_ms:Int64}, 'UTC')
    AND appended_at < fromUnixTimestamp64Milli({before_ms:Int64}, 'UTC')
HAVING count() > 0
"""


def first_row_of(client: AsyncClient, counted_as: str) -> FirstRow:
    """What asks for the rows of a topic. `counted_as`: the name that they have.

    What it gives raises the driver's `Error`.
    """

    async def first_row(
        number: int, offset: int, since_ms: int, before_ms: int
    ) -> LastRecord | None:
        asked = {"partition": number, "offset": offset, "since_ms": since_ms}
        result = await client.query(
            FIRST_ROW, parameters={"topic": counted_as, "before_ms": before_ms} | asked
        )
        return LastRecord(*result.result_rows[0]) if result.result_rows else None

    return first_row
