"""What the tables say of topics: by which names, with how many partitions, counted how far.

Rows of a topic have its name. Where all that Kafka had of it was lost and it was made anew under
its name, offsets begin at 0 again: the rows of the new one go by another name, `events#2`, which
no topic in Kafka can have.
"""

from dataclasses import dataclass

from clickhouse_connect.driver.asyncclient import AsyncClient

from libs.kafka.last_record import LastRecord
from services.admin.statements import statement

_NOTED = statement("noted_topic")
_NAMES = statement("noted_names")
_COUNTED_PLACES = statement("counted_places")
_NOTE = """
INSERT INTO topics
SELECT {topic:String}, {partitions:UInt16}, now64(3)
WHERE (SELECT count() FROM topics WHERE name = {topic:String}) = 0
"""


@dataclass(frozen=True, slots=True)
class NotedTopic:
    """A topic as the tables know it. `counted_as`: the name that its rows have."""

    counted_as: str
    partitions: int | None

    @property
    def next_name(self) -> str:
        """The name for the rows of a topic that is made anew."""
        name, _, number = self.counted_as.partition("#")
        return f"{name}#{int(number or 1) + 1}"


async def noted_topic(client: AsyncClient, topic: str) -> NotedTopic:
    """What was noted of a topic last; without partitions where nobody noted it."""
    result = await client.query(_NOTED, parameters={"topic": topic})
    return NotedTopic(*(result.result_rows or [(topic, None)])[0])


async def noted_names(client: AsyncClient) -> list[str]:
    """The names in Kafka of all topics that were noted."""
    return [name for (name,) in (await client.query(_NAMES)).result_rows]


async def note_partitions(client: AsyncClient, counted_as: str, partitions: int) -> None:
    """Note with how many partitions a topic was made, unless that was noted before."""
    await client.command(_NOTE, parameters={"topic": counted_as, "partitions": partitions})


async def counted_places(client: AsyncClient, counted_as: str) -> dict[int, LastRecord]:
    """The last record of each partition that left a row."""
    result = await client.query(_COUNTED_PLACES, parameters={"topic": counted_as})
    return {kp: LastRecord(ko, appended_ms) for kp, ko, appended_ms in result.result_rows}
