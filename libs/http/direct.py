"""A route that is taken before the layers of its app: they were a quarter of a small request.

FastAPI keeps seven between socket and route. Everything else goes through them as usual, and so
does this path with another method.
"""

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from libs.http.cycle import cycle_behind
from libs.http.problems import Problem, answer_nobody, answer_problem, problem_of_bug
from libs.http.requests_log import Requests
from libs.http.routes import take_whole_paths

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoute:
    """ASGI: one route with its line in the log and its problems, without the app around it."""

    def __init__(self, path: str, endpoint: Endpoint, method: str, requests: Requests) -> None:
        self.route = Route(path, endpoint, methods=[method])
        take_whole_paths([self.route])
        self._match = self.route.path_regex.match
        self._method = method
        self._endpoint = endpoint
        self._requests = requests

    def takes(self, scope: Scope) -> bool:
        """Whether a request is for this route; if so, its scope names the route."""
        if scope["type"] != "http" or scope["method"] != self._method:
            return False
        match = self._match(scope["path"])
        if match is None:
            return False
        scope["path_params"], scope["route"] = match.groupdict(), self.route
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = self._requests.begin(scope)
        request = Request(scope, receive)
        status, bug = 500, None
        try:
            try:
                response = await self._endpoint(request)
            except Problem as problem:
                response = answer_problem(request, problem)
            except ClientDisconnect:
                response = answer_nobody(request)
            except Exception as error:  # noqa: BLE001 - it is raised again, after the answer
                response, bug = answer_problem(request, problem_of_bug(request, error)), error
            status = response.status_code
            headers = [*response.raw_headers, begun.id_header]
            cycle = cycle_behind(send)
            if cycle is None or not cycle.answer(status, headers, response.body):
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": response.body})
        finally:
            self._requests.end(scope, begun, status)
        if bug is not None:
            raise bug
