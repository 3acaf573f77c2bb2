"""Every error in one shape: `application/problem+json` (RFC 9457) with a stable `code`.

Never a trace and never 422: what a caller did wrong is told by name, what we did wrong is not.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from libs.http.request_ids import new_request_id
from libs.telemetry.logs import get_logger
from libs.telemetry.traces import places_of

MEDIA_TYPE = "application/problem+json"

# What the log calls a request whose caller went away before the answer; nobody reads it.
_CALLER_GONE = 499

# RFC 9110's names, where Python before 3.13 still has older ones.
_TITLES = {
    413: "Content Too Large",
    414: "URI Too Long",
    416: "Range Not Satisfiable",
    422: "Unprocessable Content",
}

_CODES = {404: "not_found", 413: "body_too_large"}

log = get_logger()


class Problem(Exception):  # noqa: N818 - the RFC's word
    """An answer that is an error, raised wherever it is found."""

    def __init__(
        self, status: int, code: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.headers = dict(headers or {})


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The JSON object of a problem. `about:blank`: the status says what kind it is."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str
    request_id: str


def title_of(status: int) -> str:
    """The name of a status, the same under every release of Python."""
    return _TITLES.get(status, HTTPStatus(status).phrase)


def body_of(problem: Problem, request_id: str) -> ProblemBody:
    """What a caller gets to read."""
    return ProblemBody(
        title=title_of(problem.status),
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
        request_id=request_id,
    )


def install_problems(
    app: FastAPI, look: Callable[[Request], Awaitable[None]] | None = None
) -> None:
    """Let every error of the app answer in the one shape.

    `look` finds the state of a caller's limit for what a project's path does not take.
    """

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return answer_problem(request, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            if look is not None and "projectId" in request.path_params:
                await look(request)
            return _answer_other_method(request, error)
        code = _CODES.get(error.status_code, "refused")
        problem = Problem(error.status_code, code, _detail(error), error.headers)
        return answer_problem(request, problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, _error: RequestValidationError) -> Response:
        return answer_problem(request, Problem(400, "invalid_request", "The request is not valid."))

    @app.exception_handler(ClientDisconnect)
    async def _gone(request: Request, _error: ClientDisconnect) -> Response:
        return answer_nobody(request)

    app.add_exception_handler(Exception, _answer_bug)


def problem_of_bug(request: Request, error: Exception) -> Problem:
    """What is said of what nobody foresaw. The trace goes to the log; the id leads there."""
    log.error("request.bug", request_id=request_id_in(request), trace=places_of(error))
    return Problem(500, "internal_error", "Something went wrong on our side.")


async def _answer_bug(request: Request, error: Exception) -> Response:
    response = answer_problem(request, problem_of_bug(request, error))
    response.headers["X-Request-Id"] = request_id_in(request)  # it is made outside of the log
    return response


def answer_nobody(request: Request) -> Response:
    """What the log gets to see of a request that ended before its answer: it is not sent."""
    return Response(status_code=getattr(request.state, "cut_with", _CALLER_GONE))


def _answer_other_method(request: Request, error: HTTPException) -> Response:
    """What can be done here: to OPTIONS an answer, to every other method a refusal."""
    taken = (error.headers or {}).get("Allow", "").split(", ")
    allow = {"Allow": ", ".join(sorted({*taken, "OPTIONS"}))}
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_rate_headers(request) | allow)
    detail = f"This path does not take {request.method}."
    return answer_problem(request, Problem(405, "method_not_allowed", detail, allow))


def _detail(error: HTTPException) -> str:
    if error.status_code == 404:
        return "There is nothing at this path."
    return title_of(error.status_code) + "."


def request_id_in(request: Request) -> str:
    """The id that the line in the log will have."""
    request_id: str | None = getattr(request.state, "request_id", None)
    return new_request_id() if request_id is None else request_id


def _rate_headers(request: Request) -> dict[str, str]:
    """Of the caller's limit, where that is known."""
    rate_limit = getattr(request.state, "rate_limit", None)
    return {} if rate_limit is None else dict(rate_limit.headers())


def answer_problem(request: Request, problem: Problem, body: ProblemBody | None = None) -> Response:
    """The answer, with the headers of the caller's rate limit where that is known.

    `body`: what it says, where that is more than every problem does.
    """
    request.state.code = problem.code  # for the line in the log
    headers = _rate_headers(request) | problem.headers
    said = msgspec.json.encode(body or body_of(problem, request_id_in(request)))
    return Response(said, problem.status, headers, media_type=MEDIA_TYPE)
