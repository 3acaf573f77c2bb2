"""What lies in the tables before an attack: B's own answer, and what some kinds of A need."""

import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date

import httpx

from libs.access.api_keys import NO_LIMIT
from tests.bench.neighbours.reading import DEVICE, LAST_OF_LARGE, LAST_OF_MEDIUM
from tests.bench.neighbours.stage import A, B, Stage, new_key, wait_until_known
from tests.bench.neighbours.writing import old_events
from tests.e2e.model import Event
from tests.e2e.traffic import send_patiently

# Of 30 days: an answer of about 300 kB, as a lively project has it.
_ANSWER_OF_B = """
INSERT INTO daily_counts (project_id, is_live, category, date, key, kp, value)
SELECT {project:String}, true, 'action', today() - number % 30,
    concat('action-', toString(intDiv(number, 30))), 0, number + 1
FROM numbers(3000)
"""
# Of two years before: with them it has so many rows that it is made while no other is.
_LONG_ANSWER_OF_B = """
INSERT INTO daily_counts (project_id, is_live, category, date, key, kp, value)
SELECT {project:String}, true, 'action', toDate('2026-03-01') - number % 700,
    concat('action-', toString(intDiv(number, 700))), 0, number + 1
FROM numbers(14000)
"""
_LARGE_ANSWER = """
INSERT INTO daily_counts (project_id, is_live, category, date, key, kp, value)
SELECT {project:String}, true, 'action', {last:Date} - number % 700,
    leftPad(toString(number), {length:UInt8}, 'k'), 0, number + 1
FROM numbers({rows:UInt32})
"""
_DEVICE_EVENTS = """
INSERT INTO events (project_id, is_live, id, type, occurred_at, appended_at, accepted_at,
    session_id, device_id, conversation_id, role, action, topic, kp, ko, lease)
SELECT {project:String}, true, toString(generateUUIDv4()),
    ['chat.message', 'chat.action', 'session.started'][1 + number % 3] AS kind,
    now64(3) - toIntervalSecond(number % 2500000), now64(3), now64(3),
    concat('s-', toString(intDiv(number, 10))), {device:String},
    concat('c-', toString(intDiv(number, 10))), 'user',
    if(kind = 'chat.action', concat('action-', toString(number % 50)), ''),
    'planted', 0, number, now64(3) + INTERVAL 1 HOUR
FROM numbers({first:UInt64}, {rows:UInt64})
"""
_KEYS = """
INSERT INTO api_keys (id, key_hash, project_id, mode, scopes, label, created_at, updated_at)
SELECT concat('planted-', toString(number)), lower(hex(SHA256(concat({salt:String},
    toString(number))))), concat('project-', toString(number % 1000)), 'live',
    ['events:write', 'analytics:read'], 'planted', now64(3), now64(6)
FROM numbers({rows:UInt64})
"""
_DEVICE_ROWS, _PORTION = 2_000_000, 500_000
_KEY_ROWS = 100_000


def plant_answers(stage: Stage) -> None:
    """What B reads, before it is measured alone."""
    for statement in (_ANSWER_OF_B, _LONG_ANSWER_OF_B):
        stage.stack.database.command(statement, parameters={"project": B})


def plant(stage: Stage, kind: str) -> None:
    """Fill the tables for a kind of attack, before B is measured alone."""
    if kind in _PLANTS:
        _PLANTS[kind](stage)


def plant_late(stage: Stage, kind: str) -> None:
    """Fill the tables with what is itself the attack."""
    if kind == "keys":
        parameters = {"salt": secrets.token_hex(8), "rows": _KEY_ROWS}
        stage.stack.database.command(_KEYS, parameters=parameters)


def _answer(stage: Stage, last: date, rows: int, length: int) -> None:
    parameters = {"project": A, "last": last, "rows": rows, "length": length}
    stage.stack.database.command(_LARGE_ANSWER, parameters=parameters)


def _old_events(stage: Stage) -> None:
    events = old_events()
    portions = [events[at : at + 5_000] for at in range(0, len(events), 5_000)]
    url = stage.stack.events_url(A)
    # What lies there is no attack: it is not held back by what a key may write in a minute.
    key = new_key(stage.stack, A, None, NO_LIMIT)
    wait_until_known(stage.stack, "ingest", key)

    def send(portion: list[Event]) -> None:
        with httpx.Client(timeout=60, trust_env=False) as http:
            send_patiently(http, url, key.text, portion)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(send, portions))
    stage.stack.wait_until_counted(300)


def _device_events(stage: Stage) -> None:
    for first in range(0, _DEVICE_ROWS, _PORTION):
        stage.stack.database.command(
            _DEVICE_EVENTS,
            parameters={"project": A, "device": DEVICE, "first": first, "rows": _PORTION},
        )


_PLANTS: dict[str, Callable[[Stage], None]] = {
    "old-repeats": _old_events,
    "unread-large": lambda stage: _answer(stage, LAST_OF_LARGE, rows=199_000, length=8),
    "unread-medium": lambda stage: _answer(stage, LAST_OF_MEDIUM, rows=9_000, length=120),
    "heavy": _device_events,
}
