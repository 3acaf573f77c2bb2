"""All that the processor asks of ClickHouse while it runs: one insert a batch, and two questions.

An insert is one block and becomes one part: all of it is there or nothing. Whether a failed one
was applied is not known here; the caller recovers the partitions and finds out.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from clickhouse_connect.driver.asyncclient import AsyncClient

from services.processor.batch import ConversationDay, Identity, Suspect
from services.processor.memory import WINDOW_MS

_SQL = Path(__file__).parent / "sql"
_A_QUESTION = 2_000

_TAG = "ragtime-insert"

T = TypeVar("T")

INSERT_SETTINGS: dict[str, str | int] = {
    "async_insert": 0,
    # Insert tokens are written before the part is renamed: a kill in between would lose the rows.
    "deduplicate_insert": "disable",
    # One block an insert, whatever its size.
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 1 << 40,
    "date_time_input_format": "best_effort",
    "input_format_defaults_for_omitted_fields": 1,
}


def tag(partitions: Iterable[int]) -> dict[str, str]:
    """The setting by which an insert is found while it runs: it names its partitions."""
    return {"log_comment": f"{_TAG},{','.join(map(str, sorted(partitions)))},"}


def tags_of(partitions: Iterable[int]) -> str:
    """A regular expression that the tag of an insert into any of these partitions matches."""
    return f"^{_TAG},([0-9]+,)*({'|'.join(map(str, sorted(partitions)))}),"


def statement(name: str) -> str:
    """The text of a statement of this service."""
    return (_SQL / f"{name}.sql").read_text("utf-8")


_COUNTED_IDS = statement("counted_ids")
_COUNTED_CONVERSATIONS = statement("counted_conversations")


class Writer:
    """Inserts batches and answers what the memory could not decide."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client

    async def insert(self, rows: Iterable[bytes], partitions: Iterable[int]) -> None:
        """Insert a batch of JSONEachRow. After the driver's `Error` the outcome is unknown."""

        async def once() -> AsyncIterator[bytes]:
            # A body that can be read only once keeps clickhouse-connect from sending it again.
            for piece in rows:
                yield piece

        await self._client.raw_insert(
            "events",
            insert_block=once(),
            fmt="JSONEachRow",
            settings=INSERT_SETTINGS | tag(partitions),
        )

    async def counted_ids(self, suspects: list[Suspect]) -> dict[Identity, int]:
        """For each suspect that was counted in the 24 h before it: when it was appended, in ms."""
        found: dict[Identity, int] = {}
        for some in _portions(suspects):
            result = await self._client.query(
                _COUNTED_IDS,
                parameters={
                    "projects": sorted({project for (_, project, _), _ in some}),
                    "ids": sorted({name for (_, _, name), _ in some}),
                    "since_ms": min(suspect.appended_at_ms for suspect in some) - WINDOW_MS,
                },
            )
            counted = {(project, name): at_ms for project, name, at_ms in result.result_rows}
            for identity, _ in some:
                at_ms = counted.get(identity[1:])
                if at_ms is not None:
                    found[identity] = at_ms
        return found

    async def counted_conversations(
        self, asked: set[ConversationDay]
    ) -> frozenset[ConversationDay]:
        """Which of these conversations had a counted message on their day."""
        found: set[ConversationDay] = set()
        for some in _portions(sorted(asked)):
            result = await self._client.query(
                _COUNTED_CONVERSATIONS,
                parameters={
                    "projects": sorted({project for _, _, project, _, _ in some}),
                    "days": sorted({day for _, day, _, _, _ in some}),
                    "conversations": sorted({conversation for *_, conversation in some}),
                },
            )
            known = set(map(tuple, result.result_rows))
            found.update(one for one in some if one[1:] in known)
        return frozenset(found)


def _portions(items: Sequence[T]) -> Iterator[Sequence[T]]:
    """A question carries its values as parameters, and those must stay of a bearable size."""
    for start in range(0, len(items), _A_QUESTION):
        yield items[start : start + _A_QUESTION]
