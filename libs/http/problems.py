"""Every error in one shape: `application/problem+json` (RFC 9457) with a stable `code`.

Never a trace and never 422: what a caller did wrong is told by name, what we did wrong is not.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"

_CODES = {404: "not_found", 405: "method_not_allowed", 413: "body_too_large"}


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


class ProblemBody(msgspec.Struct, frozen=True, kw_only=True):
    """The JSON object of a problem. `about:blank`: the status says what kind it is."""

    type: str = "about:blank"
    title: str
    status: int
    code: str
    detail: str


def body_of(problem: Problem) -> ProblemBody:
    """What a caller gets to read."""
    return ProblemBody(
        title=HTTPStatus(problem.status).phrase,
        status=problem.status,
        code=problem.code,
        detail=problem.detail,
    )


def install_problems(app: FastAPI) -> None:
    """Let every error of the app answer in the one shape."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> Response:
        return answer_problem(request, error)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        code = _CODES.get(error.status_code, "refused")
        problem = Problem(error.status_code, code, _detail(error, request), error.headers)
        return answer_problem(request, problem)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, _error: RequestValidationError) -> Response:
        return answer_problem(request, Problem(400, "invalid_request", "The request is not valid."))

    app.add_exception_handler(Exception, answer_bug)


async def answer_bug(request: Request, _error: Exception) -> Response:
    """The answer to what nobody foresaw. The trace goes to the log; the id leads there."""
    request_id = getattr(request.state, "request_id", None)
    headers = {"X-Request-Id": request_id} if request_id else {}
    return answer_problem(
        request, Problem(500, "internal_error", "Something went wrong on our side.", headers)
    )


def _detail(error: HTTPException, request: Request) -> str:
    if error.status_code == 404:
        return "There is nothing at this path."
    if error.status_code == 405:
        return f"This path does not take {request.method}."
    return HTTPStatus(error.status_code).phrase + "."


def answer_problem(request: Request, problem: Problem) -> Response:
    """The answer, with the headers of the caller's rate limit where that is known."""
    rate_limit = getattr(request.state, "rate_limit", None)
    headers = {
        "Cache-Control": "no-store",
        **({} if rate_limit is None else rate_limit.headers()),
        **problem.headers,
    }
    return Response(
        msgspec.json.encode(body_of(problem)), problem.status, headers, media_type=MEDIA_TYPE
    )
