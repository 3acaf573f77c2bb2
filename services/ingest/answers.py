"""What a producer hears: how many events were accepted, and what is wrong with each other one."""

from collections.abc import Iterable, Mapping
from functools import lru_cache

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from libs.access.windows import RateLimitState
from libs.events.reasons import RejectCode
from libs.http.problems import Problem, ProblemBody, answer_problem, body_of, request_id_in
from services.ingest.verdicts import FieldWarning, Refusal


class Rejection(msgspec.Struct, frozen=True):
    """One refused event; `index` counts the request's events from 0."""

    index: int
    code: RejectCode
    message: str


class Notice(msgspec.Struct, frozen=True):
    """What is wrong with a description of an event that was accepted; `field` is its path."""

    index: int
    field: str
    message: str


class Verdicts(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of 202. There are no `warnings` where nothing is to be warned of."""

    accepted: int
    rejected: list[Rejection]
    warnings: list[Notice] = []


class NoValidEvent(ProblemBody, frozen=True, kw_only=True):
    """The body of 400 when each event was refused."""

    rejected: list[Rejection]


def answer(
    accepted: int,
    refused: Iterable[tuple[int, Refusal]],
    warned: Iterable[tuple[int, FieldWarning]],
    limit: RateLimitState | None,
    request: Request,
) -> Response:
    """202 with the verdicts, or the problem that not one event was valid.

    `limit`: what is left of the key's events, where those are limited.
    """
    rejected = [Rejection(index, refusal.code, refusal.message) for index, refusal in refused]
    warnings = [Notice(index, one.field, one.message) for index, one in warned]
    if not (rejected or warnings):
        usual = _all_accepted(accepted)
        return usual if limit is None else _Accepted(usual, limit)
    if rejected:
        request.state.rejected = len(rejected)  # for the line in the log
    if accepted:
        headers = {} if limit is None else limit.headers()
        return _verdicts(Verdicts(accepted, rejected, warnings), headers)
    problem = Problem(400, "no_valid_event", "Not one event of the request is valid.")
    fields = msgspec.structs.asdict(body_of(problem, request_id_in(request)))
    return answer_problem(request, problem, NoValidEvent(**fields, rejected=rejected))


class _Accepted(Response):
    """The usual answer with the headers of a limit, made without what Starlette does for others."""

    def __init__(self, usual: Response, limit: RateLimitState) -> None:
        self.status_code = usual.status_code
        self.body = usual.body
        self.background = None
        self.raw_headers = [*usual.raw_headers, *limit.raw_headers()]


@lru_cache(maxsize=1_024)
def _all_accepted(accepted: int) -> Response:
    """The usual answer, made once for each number of events: nobody changes it."""
    return _verdicts(Verdicts(accepted, []), {})


def _verdicts(verdicts: Verdicts, headers: Mapping[str, str]) -> Response:
    body = msgspec.json.encode(verdicts)
    return Response(body, 202, headers, media_type="application/json")
