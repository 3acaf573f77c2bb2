"""Any bytes become a line or a refusal, and nothing else."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.events.models import ChatMessage, SessionEnded
from libs.events.reasons import RejectCode
from services.ingest.batches import Turns, prepare_batch
from tests.turns import finish
from tests.unit.services.ingest.submissions import submission

_MESSAGE = {
    "type": "chat.message",
    "sessionId": "ses-1",
    "conversationId": "con-1",
    "role": "user",
}
_END = {"type": "session.ended", "sessionId": "ses-1", "durationMs": 5}


def test_batch_keeps_the_order_and_the_index_when_some_events_are_refused() -> None:
    events = [json.dumps(e).encode() for e in (_MESSAGE, 7, _END, {})]

    batch = finish(prepare_batch(events, submission()))

    assert [line.key for line in batch.lines] == ["museum:con-1", "museum:ses-1"]
    assert [(index, refusal.code) for index, refusal in batch.rejected] == [
        (1, RejectCode.NOT_AN_OBJECT),
        (3, RejectCode.MISSING_FIELD),
    ]
    assert batch.types == [ChatMessage, SessionEnded]


def test_event_is_refused_when_its_text_is_not_utf8() -> None:
    [(_, refusal)] = finish(
        prepare_batch([b'{"type":"session.started","sessionId":"\xff"}'], submission())
    ).rejected

    assert refusal.code is RejectCode.INVALID_JSON
    assert "UTF-8" in refusal.message


def test_event_is_refused_when_it_holds_half_a_surrogate_pair() -> None:
    [(_, refusal)] = finish(
        prepare_batch([rb'{"type":"session.started","sessionId":"\ud800"}'], submission())
    ).rejected

    assert refusal.code is RejectCode.INVALID_JSON
    assert "surrogate" in refusal.message


def test_event_is_refused_when_it_is_nested_deep() -> None:
    deep = b'{"type":"session.started","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}"

    [(_, refusal)] = finish(prepare_batch([deep], submission())).rejected

    assert refusal.code is RejectCode.INVALID_JSON
    assert "deep" in refusal.message


@pytest.mark.parametrize("field", ["type", "role", "userType"])
@pytest.mark.parametrize("text", [" - at `$.foo", " - at `$.sessionId`", ", got `null` - at"])
def test_event_is_refused_when_its_value_reads_like_the_decoders_message(
    field: str, text: str
) -> None:
    batch = finish(prepare_batch([json.dumps(_MESSAGE | {field: text}).encode()], submission()))

    [(_, refusal)] = batch.rejected
    place = "context.deviceType" if field == "context" else field
    code = RejectCode.UNKNOWN_TYPE if field == "type" else RejectCode.INVALID_FIELD
    assert (refusal.code, refusal.message.split("`")[1]) == (code, place)


@given(st.binary())
def test_bytes_become_a_line_or_a_refusal_whatever_they_are(event: bytes) -> None:
    batch = finish(prepare_batch([event], submission()))

    assert len(batch.lines) + len(batch.rejected) == 1


async def test_neighbour_waits_for_one_large_request_of_a_project_at_a_time() -> None:
    turns, ended = Turns(), []
    large = [json.dumps(_MESSAGE | {"id": f"e-{number}"}).encode() for number in range(2_000)]

    async def prepare(project: str, events: list[bytes]) -> None:
        batch = await turns.prepare(events, submission(project_id=project))
        assert len(batch.lines) == len(events)
        ended.append(project)

    attacks = [asyncio.create_task(prepare("attacker", large)) for _ in range(6)]
    await asyncio.sleep(0)
    await asyncio.gather(prepare("victim", large), prepare("small", large[:1]), *attacks)

    assert ended[0] == "small"
    assert ended.index("victim") <= 2, "beside the first of the attacker's, and no other"
    assert not turns._locks
