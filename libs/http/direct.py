"""A route that is taken before the layers of its app: they were a quarter of a small request.

FastAPI keeps seven between socket and route. Everything else goes through them as usual, and so
does this path with another method.
"""

from collections.abc import Awaitable, Callable

from starlette.middleware.errors import ServerErrorMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from libs.http.problems import Problem, answer_bug, answer_nobody, answer_problem
from libs.http.routes import take_whole_paths

Endpoint = Callable[[Request], Awaitable[Response]]


class DirectRoute:
    """ASGI: one route with its line in the log and its problems, without the app around it.

    `logged`: puts the log of requests around it.
    """

    def __init__(
        self,
        path: str,
        endpoint: Endpoint,
        method: str,
        logged: Callable[[ASGIApp], ASGIApp],
    ) -> None:
        self.route = Route(path, endpoint, methods=[method])
        take_whole_paths([self.route])
        self._method = method
        self._endpoint = endpoint
        self._app: ASGIApp = ServerErrorMiddleware(logged(self._answer), answer_bug)

    def takes(self, scope: Scope) -> bool:
        """Whether a request is for this route; if so, its scope names the route."""
        if scope["type"] != "http" or scope["method"] != self._method:
            return False
        match = self.route.path_regex.match(scope["path"])
        if match is None:
            return False
        scope["path_params"], scope["route"] = match.groupdict(), self.route
        return True

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._endpoint(request)
        except Problem as problem:
            response = answer_problem(request, problem)
        except ClientDisconnect:
            response = answer_nobody(request)
        await response(scope, receive, send)
