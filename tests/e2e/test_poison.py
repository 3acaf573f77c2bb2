"""Poison through the whole product: it ends in its place, and nobody beside it waits for long.

All kinds are sent at once, each for a project of its own, while an innocent one goes on sending.
"""

import time
from collections import Counter
from dataclasses import dataclass
from itertools import count

import pytest

from tests.e2e.asking import bearer, message
from tests.e2e.poison import BY_HTTP, Poison
from tests.e2e.poison_records import AS_RECORDS, refuse_one
from tests.e2e.stack import PARTITIONS, Project, Stack
from tests.e2e.topics import DeadLetter
from tests.e2e.traffic import Repeatedly

pytestmark = pytest.mark.e2e

KINDS = BY_HTTP | AS_RECORDS

# What was meant is 30 s, alone on the machine.
_COUNTED_WITHIN_S = 120.0
_PAUSE_S = 0.1
# One at the start, one for each batch in which an index vouched for what is no event, three for
# each in which ClickHouse alone refuses one.
_MOST_RECOVERIES = 12


@dataclass(frozen=True)
class Sent:
    """One kind, as it was sent. `places`: of its records."""

    poison: Poison
    project: Project
    rejected: Counter[str]
    places: set[tuple[str, str]]


@dataclass(frozen=True)
class All:
    """What was sent of all kinds, and what became of it."""

    kinds: dict[str, Sent]
    innocent: Project
    innocent_sent: int
    letters: list[DeadLetter]


@pytest.fixture(scope="module")
def sent(own_stack: Stack) -> All:
    """All kinds, when each of their events has been counted or dead-lettered."""
    refuse_one(own_stack.database)
    innocent, *projects = own_stack.new_projects(len(KINDS) + 1)
    numbers = count()

    def go_on() -> None:
        names = [f"i-{next(numbers)}" for _ in range(PARTITIONS)]
        own_stack.post_events(innocent, [message(one, conversationId=one) for one in names])
        time.sleep(_PAUSE_S)

    with Repeatedly(go_on):
        kinds = {
            name: _send(own_stack, project, make(project.id), at % PARTITIONS)
            for at, ((name, make), project) in enumerate(zip(KINDS.items(), projects, strict=True))
        }
        own_stack.wait_until_counted(_COUNTED_WITHIN_S)
    own_stack.wait_until_counted(_COUNTED_WITHIN_S)
    return All(kinds, innocent, next(numbers), own_stack.topics.read_dead_letters())


def _send(stack: Stack, project: Project, poison: Poison, partition: int) -> Sent:
    rejected: Counter[str] = Counter()
    for body in poison.bodies:
        headers = bearer(project.live_key) | {"Content-Type": "application/json"}
        answer = stack.http.post(stack.events_url(project.id), content=body, headers=headers)
        assert answer.status_code == 202, answer.text
        rejected.update(one["code"] for one in answer.json()["rejected"])
    offsets = [
        stack.topics.write([record.value], partition, record.headers)[0]
        for record in poison.records
    ]
    return Sent(poison, project, rejected, {(str(partition), str(at)) for at in offsets})


@pytest.mark.parametrize("kind", KINDS)
def test_poison_is_counted_or_dead_lettered_with_its_reason(
    own_stack: Stack, sent: All, kind: str
) -> None:
    one = sent.kinds[kind]
    letters = [letter for letter in sent.letters if letter.place in one.places]
    assert dict(one.rejected) == dict(one.poison.rejected)
    assert dict(Counter(letter.headers["reason"] for letter in letters)) == dict(one.poison.letters)
    assert own_stack.rows_of(one.project) == one.poison.counted


def test_innocent_neighbour_is_counted_when_all_poison_is_there(
    own_stack: Stack, sent: All
) -> None:
    assert own_stack.rows_of(sent.innocent) == sent.innocent_sent > 0


def test_nothing_else_is_dead_lettered(sent: All) -> None:
    places = {place for one in sent.kinds.values() for place in one.places}
    assert [letter for letter in sent.letters if letter.place not in places] == []


def test_no_recovery_goes_round_and_round(own_stack: Stack, sent: All) -> None:
    assert sent.kinds
    log = own_stack.services["processor"].log.read_text("utf-8", errors="replace")
    assert 1 <= log.count("recovery.done") <= _MOST_RECOVERIES
    assert "Traceback" not in log


def test_audit_finds_no_difference_when_all_poison_is_counted(own_stack: Stack, sent: All) -> None:
    assert sent.kinds
    done = own_stack.try_ragtime("audit", "--every-record")
    assert done.code == 0, done.stdout.decode()
