"""The analytics endpoint: the question, the rows, the answer."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from libs.access.callers import Reader
from libs.http.leaving import unless_gone
from libs.http.pacing import PacedResponse
from libs.http.room import Place, Room
from services.query.answers import cites_sources, encode_answer, sources_of, stats_of
from services.query.database import Database, NotSmallError
from services.query.questions import Question, parse_question
from services.query.statements import counts, source_names

PATH = "/api/v1/projects/{projectId}/analytics"

# An answer up to this size is given away at once; a larger one keeps its place until it is read.
# Those of many rows have places of their own: who does not read one is in the way of such alone.
_SMALL_BYTES = 64 * 1024
_MAX_UNREAD_BYTES = 16 * 1024 * 1024
_MAX_UNREAD_LARGE_BYTES = 8 * 1024 * 1024
_MAX_WAITING = 32


class Analytics:
    """What the endpoint needs, and its one route."""

    def __init__(self, database: Database, wait_s: float, clock: Callable[[], datetime]) -> None:
        self._database = database
        self._clock = clock
        self._unread = Room(_MAX_UNREAD_BYTES, _MAX_WAITING, wait_s)
        self._unread_large = Room(_MAX_UNREAD_LARGE_BYTES, _MAX_WAITING, wait_s)
        self._large = asyncio.Semaphore(1)

    async def read(self, request: Request, reader: Reader) -> Response:
        """Answer one question."""
        question = parse_question(
            reader.key.project_id,
            request.query_params.multi_items(),
            self._clock().date(),
        )
        small, large = Place(self._unread), Place(self._unread_large)
        try:
            body = await unless_gone(request, self._answer(question, small, large))
        except BaseException:
            small.leave()
            large.leave()
            raise
        headers = request.state.rate_limit.headers()
        for place in (small, large):
            if place.size_bytes:
                return PacedResponse(body, place, headers, "application/json")
        return Response(body, headers=headers, media_type="application/json")

    async def _answer(self, question: Question, small: Place, large: Place) -> bytes:
        """The body; one that is not given away at once has taken one of the places.

        One of many rows is made while no other is. How many there are is known when ClickHouse has
        looked: then it looks once more.
        """
        async with self._database.session() as database:
            try:
                body = await _body(database, question, if_small=True)
                if len(body) > _SMALL_BYTES:
                    await small.take(len(body))
            except NotSmallError:
                async with self._large:
                    await large.take(_MAX_UNREAD_LARGE_BYTES)
                    body = await _body(database, question, if_small=False)
                    large.resize(len(body))
        return body


async def _body(database: Database, question: Question, *, if_small: bool) -> bytes:
    stats = stats_of(await database.rows(counts(question), if_small=if_small))
    names: Sequence[Sequence[str]] = ()
    if cites_sources(stats):
        names = await database.rows(source_names(question), if_small=if_small)
    return encode_answer(question, stats, sources_of(stats, names))
