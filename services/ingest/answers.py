"""What a producer hears: how many events were accepted, and what is wrong with each other one."""

from collections.abc import Iterable

import msgspec
from starlette.responses import Response

from libs.events.reasons import RejectCode
from libs.http.problems import MEDIA_TYPE, Problem, ProblemBody, body_of
from services.ingest.verdicts import Refusal


class Rejection(msgspec.Struct, frozen=True):
    """One refused event; `index` counts the request's events from 0."""

    index: int
    code: RejectCode
    message: str


class Verdicts(msgspec.Struct, frozen=True):
    """The body of 202."""

    accepted: int
    rejected: list[Rejection]


class NoValidEvent(ProblemBody, frozen=True, kw_only=True):
    """The body of 400 when each event was refused."""

    rejected: list[Rejection]


def answer(accepted: int, refused: Iterable[tuple[int, Refusal]]) -> Response:
    """202 with the verdicts, or the problem that not one event was valid."""
    rejected = [Rejection(index, refusal.code, refusal.message) for index, refusal in refused]
    headers = {"Cache-Control": "no-store"}
    if accepted:
        body = msgspec.json.encode(Verdicts(accepted, rejected))
        return Response(body, 202, headers, media_type="application/json")
    problem = body_of(Problem(400, "no_valid_event", "Not one event of the request is valid."))
    refusal = NoValidEvent(**msgspec.structs.asdict(problem), rejected=rejected)
    return Response(msgspec.json.encode(refusal), 400, headers, media_type=MEDIA_TYPE)
