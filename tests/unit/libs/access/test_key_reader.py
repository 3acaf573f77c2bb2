"""How the snapshot is kept equal to the table, whatever happens there, and what is read for it."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import msgspec
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import given
from hypothesis import strategies as st

from libs.access import key_reader
from libs.access.api_keys import ApiKey, Mode, Scope
from libs.access.key_reader import FINGERPRINT, ROWS, SUMS, KeyReader, portions
from libs.access.key_snapshot import BUCKETS, Bucket, BucketSum, KeySnapshot, SecretRow
from tests.fakes import FakeClickHouse
from tests.fakes_keys import keep, rows_of

NOW = datetime(2026, 3, 25, 12, tzinfo=UTC)


def key(number: int, **fields: object) -> ApiKey:
    made = ApiKey(
        id=f"key_{number}",
        key_hash=sha256(str(number).encode()).hexdigest(),
        project_id="museum",
        mode=Mode.LIVE,
        scopes=frozenset({Scope.EVENTS_WRITE}),
        rate_per_minute=None,
        label="",
        created_at=NOW,
        expires_at=None,
        revoked_at=None,
    )
    return replace(made, **fields)  # type: ignore[arg-type]


async def reader_of(table: FakeClickHouse) -> tuple[KeyReader, KeySnapshot]:
    snapshot = KeySnapshot()
    reader = KeyReader(await table.connect(), snapshot)
    await reader.refresh()
    table.asked.clear()
    return reader, snapshot


def held(snapshot: KeySnapshot, keys: list[ApiKey]) -> bool:
    """Whether the snapshot holds these keys and nothing else."""
    wanted = KeySnapshot()
    keep(wanted, keys)
    sums = {number: bucket.sum for number, bucket in buckets_of(wanted).items()}
    return not snapshot.differing(sums) and len(snapshot) == len(list(rows_of(keys)))


def buckets_of(snapshot: KeySnapshot) -> dict[int, Bucket]:
    return {number: one for number, one in enumerate(snapshot._buckets) if one is not None}


def statements(table: FakeClickHouse) -> list[str]:
    names = {FINGERPRINT: "fingerprint", SUMS: "sums", ROWS: "rows"}
    return [names[sql] for sql, _ in table.asked]


async def test_one_cheap_question_is_asked_when_nothing_has_changed() -> None:
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in range(1000)]
    reader, snapshot = await reader_of(table)
    version = snapshot.version
    for _ in range(5):
        await reader.refresh()
    assert statements(table) == ["fingerprint"] * 5
    assert snapshot.version == version


async def test_one_bucket_is_read_when_one_key_has_changed() -> None:
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in range(1000)]
    reader, snapshot = await reader_of(table)
    table.keys.keys[7] = key(7, rate_per_minute=9)
    await reader.refresh()
    assert statements(table) == ["fingerprint", "sums", "rows"]
    assert table.parameters_of(ROWS) == [{"buckets": [key(7).key_hash[:2]]}]
    assert held(snapshot, table.keys.keys)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda keys: keys[1:], id="deleted by hand"),
        pytest.param(lambda keys: [*keys, key(5000)], id="made"),
        pytest.param(lambda keys: [*keys, key(5000, created_at=NOW - timedelta(9))], id="late"),
        pytest.param(lambda keys: [key(0, revoked_at=NOW), *keys[1:]], id="revoked"),
        pytest.param(lambda keys: [key(0, expires_at=NOW), *keys[1:]], id="expires"),
        pytest.param(lambda keys: [key(0, scopes=frozenset()), *keys[1:]], id="other scopes"),
        pytest.param(lambda keys: [key(0, mode=Mode.TEST), *keys[1:]], id="other mode"),
        pytest.param(lambda keys: [key(0, project_id="zoo"), *keys[1:]], id="other project"),
        pytest.param(
            lambda keys: [
                key(0, previous_hash="f" * 64, previous_until=NOW + timedelta(1)),
                *keys[1:],
            ],
            id="rotated",
        ),
        pytest.param(lambda _keys: [], id="all gone"),
        pytest.param(lambda _keys: [key(number) for number in range(900, 950)], id="restored"),
    ],
)
async def test_snapshot_is_the_table_when_that_has_changed(
    change: Callable[[list[ApiKey]], list[ApiKey]],
) -> None:
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in range(100)]
    reader, snapshot = await reader_of(table)
    table.keys.keys = change(table.keys.keys)
    await reader.refresh()
    assert held(snapshot, table.keys.keys)


@given(
    before=st.lists(st.integers(0, 300), unique=True, max_size=60),
    after=st.lists(st.integers(0, 300), unique=True, max_size=60),
    rates=st.lists(st.integers(1, 3), min_size=60, max_size=60),
)
async def test_snapshot_is_the_table_whatever_it_was_before(
    before: list[int], after: list[int], rates: list[int]
) -> None:
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in before]
    reader, snapshot = await reader_of(table)
    table.keys.keys = [
        key(number, rate_per_minute=rate) for number, rate in zip(after, rates, strict=False)
    ]
    await reader.refresh()
    assert held(snapshot, table.keys.keys)


async def test_sums_are_compared_each_minute_when_the_cheap_question_sees_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = FakeClickHouse()
    table.keys.keys = [key(1)]
    reader, snapshot = await reader_of(table)
    monkeypatch.setattr(key_reader, "_COMPARED_EVERY_S", 0.0)
    await reader.refresh()
    assert statements(table) == ["fingerprint", "sums"]
    assert held(snapshot, table.keys.keys)


async def test_change_between_two_questions_is_read_the_next_time() -> None:
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in range(100)]
    reader, snapshot = await reader_of(table)
    answer = table.keys.answer

    def changed_meanwhile(sql: str, parameters: dict[str, object]) -> bytes | None:
        answered = answer(sql, parameters)
        if sql == SUMS:
            table.keys.keys[3] = key(3, revoked_at=NOW)
        return answered

    table.keys.answer = changed_meanwhile  # type: ignore[method-assign]
    table.keys.keys[3] = key(3, rate_per_minute=1)
    await reader.refresh()
    table.keys.answer = answer  # type: ignore[method-assign]
    await reader.refresh()
    assert held(snapshot, table.keys.keys)


async def test_snapshot_stays_as_it_was_when_an_answer_is_cut_off() -> None:
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in range(100)]
    reader, snapshot = await reader_of(table)
    before, answer = list(table.keys.keys), table.keys.answer
    table.keys.answer = lambda sql, parameters: (answer(sql, parameters) or b"")[:-9]  # type: ignore[method-assign]
    table.keys.keys[3] = key(3, rate_per_minute=1)
    with pytest.raises(ValueError, match="truncated"):
        await reader.refresh()
    assert held(snapshot, before)


async def test_reading_begins_anew_when_it_failed_midway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_reader, "_ROWS_AT_ONCE", 10)
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in range(100)]
    snapshot = KeySnapshot()
    reader = KeyReader(await table.connect(), snapshot)
    answer, answered = table.keys.answer, iter(range(100))

    def fails_at_the_fifth(sql: str, parameters: dict[str, object]) -> bytes | None:
        if next(answered) == 4:
            raise DatabaseError("gone")
        return answer(sql, parameters)

    table.keys.answer = fails_at_the_fifth  # type: ignore[method-assign]
    with pytest.raises(DatabaseError):
        await reader.refresh()
    assert not snapshot.is_complete
    assert 0 < len(snapshot) < 100
    await reader.refresh()
    assert snapshot.is_complete
    assert held(snapshot, table.keys.keys)


async def test_others_are_served_while_many_keys_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(key_reader, "_ROWS_IN_A_SLICE", 50)
    table = FakeClickHouse()
    table.keys.keys = [key(number) for number in range(1000)]
    reader = KeyReader(await table.connect(), KeySnapshot())
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    await reader.refresh()
    other.cancel()
    assert turns >= 1000 / 50


@given(st.dictionaries(st.sampled_from(BUCKETS), st.integers(1, 20_000), max_size=256))
def test_portions_hold_every_bucket_once_and_few_rows(sizes: dict[int, int]) -> None:
    sums = {number: BucketSum(size, 1) for number, size in sizes.items()}
    made = list(portions(BUCKETS, sums))
    assert [number for portion in made for number in portion] == list(BUCKETS)
    for portion in made:
        assert sum(sizes.get(number, 0) for number in portion[:-1]) < key_reader._ROWS_AT_ONCE


def test_row_that_this_release_cannot_read_stands_for_nothing() -> None:
    snapshot = KeySnapshot()
    for allows in (b'["key_1","museum","of the future",[],null,null,null]', b'["\xff"]', b"[1]"):
        bucket = Bucket()
        bucket.add(SecretRow("ab" * 32, "1", msgspec.Raw(allows)))
        snapshot.install(0xAB, bucket)
        assert snapshot.find(bytes.fromhex("ab" * 32)) is None
