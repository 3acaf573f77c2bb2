"""Room for large bodies: who gets in, who waits, who is sent away."""

import asyncio

import pytest

from libs.http.problems import Problem
from libs.http.room import Place, Room


async def _enter(place: Place, size_bytes: int, entered: list[int]) -> None:
    await place.take(size_bytes)
    entered.append(size_bytes)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_places_are_given_in_order_when_there_is_room_again() -> None:
    room = Room(10, max_waiting=5, wait_s=10)
    entered: list[int] = []
    places = [Place(room) for _ in range(4)]
    tasks = [
        asyncio.create_task(_enter(place, size, entered))
        for place, size in zip(places, (8, 7, 1, 2), strict=True)
    ]
    await _settle()
    assert entered == [8, 7]  # the second needs more than is left, and yet gets in
    places[0].leave()
    await _settle()
    assert entered == [8, 7, 1, 2]
    await asyncio.gather(*tasks)


async def test_next_one_waits_when_the_first_in_line_fills_the_room() -> None:
    room = Room(10, max_waiting=5, wait_s=10)
    entered: list[int] = []
    first, second, third = (Place(room) for _ in range(3))
    await first.take(10)
    tasks = [
        asyncio.create_task(_enter(place, size, entered))
        for place, size in ((second, 10), (third, 9))
    ]
    await _settle()
    first.leave()
    await _settle()
    assert entered == [10]
    second.leave()
    await asyncio.gather(*tasks)


async def test_place_is_taken_once_when_asked_for_again() -> None:
    room = Room(10, max_waiting=0, wait_s=10)
    place = Place(room)
    await place.take(10)
    await place.take(10)
    place.leave()
    await Place(room).take(10)


async def test_room_is_free_again_when_a_place_gets_smaller() -> None:
    room = Room(10, max_waiting=0, wait_s=10)
    place = Place(room)
    await place.take(10)
    place.resize(9)
    await Place(room).take(10)
    with pytest.raises(Problem):
        await Place(room).take(1)


async def test_caller_is_sent_away_when_there_is_no_room_in_time() -> None:
    room = Room(10, max_waiting=1, wait_s=0.01)
    place = Place(room)
    await place.take(10)

    with pytest.raises(Problem) as caught:
        await Place(room).take(1)

    assert (caught.value.status, caught.value.code) == (503, "overloaded")
    assert int(caught.value.headers["Retry-After"]) >= 1
    place.leave()
    await Place(room).take(1)


async def test_caller_is_sent_away_at_once_when_too_many_wait() -> None:
    room = Room(10, max_waiting=0, wait_s=10)
    await Place(room).take(10)

    with pytest.raises(Problem):
        await Place(room).take(1)


async def test_next_one_gets_in_when_the_first_in_line_goes_away() -> None:
    room = Room(10, max_waiting=5, wait_s=10)
    entered: list[int] = []
    first, second, third = (Place(room) for _ in range(3))
    await first.take(10)
    gone, patient = (asyncio.create_task(_enter(place, 1, entered)) for place in (second, third))
    await _settle()
    first.leave()  # the first in line is called,
    gone.cancel()  # and goes away before it hears of it
    await patient
    assert entered == [1]
