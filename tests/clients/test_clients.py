"""What a producer or reader meets who uses the HTTP client of their language, step by step.

How bodies, questions and headers are judged is tested elsewhere: here it is whether each client
gets there, and reads what it is answered. All steps of a client share its connections.
"""

import json
import re
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.clients.client import GO, NODE, PYTHON, Client, ClientError, running_client
from tests.clients.programs.commands import Answer, Command
from tests.e2e.asking import bearer
from tests.e2e.collector import Collector, running_collector
from tests.e2e.model import Event
from tests.e2e.stack import Project, Stack, running_stack
from tests.e2e.waiting import wait_until
from tests.servers import Servers

pytestmark = pytest.mark.clients

CLIENTS = (*PYTHON, *NODE, *GO)
JSON, NDJSON = "application/json", "application/x-ndjson"
TOO_MANY_BYTES = 6 * 1024 * 1024
STRANGER = f"rt_live_{secrets.token_hex(16)}"
POST = "POST /api/v1/projects/{projectId}/events"
# What each offers by itself, or the best of it.
PACKED_BY = dict.fromkeys(PYTHON, "zstd") | dict.fromkeys((*NODE, *GO), "gzip") | {"urllib": None}
# It refuses to send this header.
ASKING = [name for name in CLIENTS if name != "fetch"]


@dataclass(frozen=True)
class Caller:
    """A client with a project of its own."""

    client: Client
    project: Project
    stack: Stack

    def post(
        self, key: str = "", media_type: str = "", more: dict[str, str] | None = None, **body: Any
    ) -> Answer:
        """Send events, by the project's live key if no other is given."""
        headers = bearer(key or self.project.live_key) | (more or {})
        headers |= {"Content-Type": media_type} if media_type else {}
        url = self.stack.events_url(self.project.id)
        return self.client.send(Command("POST", url, headers, **body))

    def ask(self, key: str = "", **query: str) -> Answer:
        """Ask for analytics."""
        headers = bearer(key or self.project.live_key)
        url = self.stack.analytics_url(self.project.id)
        return self.client.send(Command("GET", url, headers, query))

    def actions(self) -> dict[str, int]:
        """How often each action was counted, when all that was accepted is."""
        self.stack.wait_until_counted()
        answer = self.ask(category="action")
        assert answer.status == 200, answer
        return {row["key"]: row["value"] for row in answer.body["stats"]}


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with running_collector() as running:
        yield running


@pytest.fixture(scope="module")
def traced(
    collector: Collector, real_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    more = {"RAGTIME_TRACES__ENDPOINT": collector.url, "RAGTIME_TRACES__SAMPLE_RATIO": "0"}
    with running_stack(real_servers, tmp_path_factory.mktemp("clients"), more=more) as running:
        yield running


@pytest.fixture(scope="module")
def callers(traced: Stack) -> Iterator[dict[str, Caller]]:
    """Those that were asked for so far."""
    with ExitStack() as closing:
        yield _Callers(traced, closing)


class _Callers(dict[str, Caller]):
    def __init__(self, stack: Stack, closing: ExitStack) -> None:
        super().__init__()
        self._stack, self._closing = stack, closing

    def __missing__(self, name: str) -> Caller:
        client = self._closing.enter_context(running_client(name))
        (project,) = self._stack.new_projects(1)
        self[name] = Caller(client, project, self._stack)
        return self[name]


@pytest.fixture(params=CLIENTS)
def caller(request: pytest.FixtureRequest, callers: dict[str, Caller]) -> Caller:
    return callers[request.param]


def _action(name: str, number: int = 0) -> Event:
    return {
        "id": f"{name}-{number}",
        "type": "chat.action",
        "sessionId": "s-1",
        "conversationId": "c-1",
        "action": name,
    }


def _batch(name: str) -> str:
    return json.dumps([_action(name, number) for number in range(20)])


def test_event_is_counted_once_when_it_is_sent_twice(caller: Caller) -> None:
    answers = [caller.post(event=_action("twice")) for _ in range(2)]

    assert {answer.status for answer in answers} == {202}
    assert all(answer.body == {"accepted": 1, "rejected": []} for answer in answers)
    assert caller.actions()["twice"] == 1


@pytest.mark.parametrize("way", ["plain", "chunked"])
def test_batch_is_counted_when_it_is_sent(caller: Caller, way: str) -> None:
    answer = caller.post(media_type=JSON, text=_batch(way), chunked=way == "chunked")

    assert (answer.status, answer.body["accepted"]) == (202, 20)
    assert caller.actions()[way] == 20


def test_lines_are_counted_when_they_are_packed(caller: Caller) -> None:
    lines = "\n".join(json.dumps(_action("packed", number)) for number in range(20))

    answer = caller.post(media_type=NDJSON, text=lines, gzip=True)

    assert (answer.status, answer.body["accepted"]) == (202, 20)
    assert caller.actions()["packed"] == 20


@pytest.mark.parametrize("caller", ASKING, indirect=True)
def test_batch_is_counted_when_the_client_expects_100_continue(caller: Caller) -> None:
    answer = caller.post(media_type=JSON, text=_batch("asked"), expect=True)

    assert (answer.status, answer.body["accepted"]) == (202, 20)
    assert caller.actions()["asked"] == 20


def test_fetch_says_that_it_cannot_when_it_is_to_expect_100_continue(
    callers: dict[str, Caller],
) -> None:
    with pytest.raises(ClientError, match="expect header not supported"):
        callers["fetch"].post(media_type=JSON, text=_batch("asked"), expect=True)


def test_verdicts_are_read_when_an_event_is_refused(caller: Caller) -> None:
    refused = _action("refused") | {"occurred_at": "2026-01-01T00:00:00Z"}
    described = _action("described") | {"context": {"country": "XX"}}

    none = caller.post(event=refused)
    some = caller.post(media_type=JSON, text=json.dumps([refused, described]))

    assert (none.status, none.body["code"]) == (400, "no_valid_event")
    (verdict,) = none.body["rejected"]
    assert verdict["code"] == "unknown_field"
    assert "`occurredAt`" in verdict["message"]
    assert (some.status, some.body["accepted"], some.body["rejected"]) == (202, 1, [verdict])
    assert [one["field"] for one in some.body["warnings"]] == ["context.country"]


def test_caller_is_refused_when_the_key_is_wrong(caller: Caller) -> None:
    for answer in (caller.post(STRANGER, event=_action("stranger")), caller.ask(STRANGER)):
        assert (answer.status, answer.body["code"]) == (401, "invalid_key")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("key", "status", "code"),
    [("", 413, "body_too_large"), (STRANGER, 401, "invalid_key")],
    ids=["413", "401"],
)
@pytest.mark.parametrize("is_chunked", [False, True], ids=["plain", "chunked"])
def test_refusal_is_read_when_the_body_is_large(
    caller: Caller, key: str, status: int, code: str, is_chunked: bool
) -> None:
    for number in range(3):
        answer = caller.post(key, JSON, blanks=TOO_MANY_BYTES, chunked=is_chunked)
        assert (answer.status, answer.body["code"]) == (status, code)
        # The next one is served, whatever became of the connection.
        assert caller.post(event=_action("after", number)).status == 202


@pytest.mark.parametrize("caller", ASKING, indirect=True)
def test_refusal_is_read_when_the_client_asks_whether_to_send_a_large_body(caller: Caller) -> None:
    for number in range(3):
        answer = caller.post(media_type=JSON, blanks=TOO_MANY_BYTES, expect=True)
        assert (answer.status, answer.body["code"]) == (413, "body_too_large")
        assert caller.post(event=_action("after", number)).status == 202


def test_client_learns_when_to_come_again_when_it_is_over_a_limit(caller: Caller) -> None:
    key = _limited_key(caller)
    answers: list[Answer] = []

    def is_over(send: Any) -> bool:
        answers.append(send())
        return bool(answers[-1].status == 429)

    wait_until(lambda: is_over(lambda: caller.post(key, event=_action("more"))), "no event more")
    wait_until(lambda: is_over(lambda: caller.ask(key)), "no question more")

    refusals = [answer for answer in answers if answer.status == 429]
    assert {answer.status for answer in answers} <= {401, 202, 200, 429}
    assert [answer.headers["x-ratelimit-limit"] for answer in refusals] == ["4", "3"]
    for answer in refusals:
        assert answer.body["code"] == "rate_limited"
        assert answer.headers["x-ratelimit-remaining"] == "0"
        assert 1 <= int(answer.headers["retry-after"]) <= 61


def _limited_key(caller: Caller) -> str:
    made = caller.stack.ragtime(
        *("keys", "create", "--project", caller.project.id, "--json"),
        *("--scope", "events:write", "--events-per-minute", "4"),
        *("--scope", "analytics:read", "--rate", "3"),
    )
    return str(json.loads(made)["key"])


def test_answer_is_unpacked_and_read_when_it_is_asked_for(caller: Caller) -> None:
    device, name = "Halle 3 + Café & Bar=100%", "Führung – 日本 🦖"
    sources = [{"id": f"src-{number:02}", "name": f"{name} {number}"} for number in range(60)]
    retrieval = _action("cites") | {"type": "rag.retrieval", "hit": True, "sources": sources}
    assert caller.post(event=retrieval | {"deviceId": device}).status == 202
    caller.stack.wait_until_counted()

    answer = caller.ask(category="source", deviceId=device, live="")

    assert answer.status == 200, answer
    assert answer.body["sources"] == sources
    assert [row["value"] for row in answer.body["stats"]] == [1] * len(sources)
    assert re.fullmatch(r"application/json; ?charset=utf-8", answer.headers["content-type"])
    assert answer.headers.get("content-encoding") == PACKED_BY[caller.client.name]


def test_trace_goes_on_when_the_client_sends_its_own(caller: Caller, collector: Collector) -> None:
    trace = secrets.token_hex(16)
    sampled = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}

    assert caller.post(more=sampled, event=_action("traced")).status == 202

    def has_come() -> bool:
        spans = collector.spans("ragtime-ingest", POST)
        return any(span.trace_id.hex() == trace for span in spans)

    wait_until(has_come, "ingest has sent the client's trace")


def test_next_event_is_taken_when_ingest_was_started_again(caller: Caller) -> None:
    assert caller.post(event=_action("before")).status == 202

    caller.stack.restart("ingest")  # the client's connection ends meanwhile

    assert caller.post(event=_action("since")).status == 202
