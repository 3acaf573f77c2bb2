"""The analytics endpoint: the question, the rows, the answer."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from libs.access.callers import Reader
from libs.clickhouse.kept_days import complete_since
from libs.http.backpressure import BackpressuredResponse
from libs.http.budget import Budget, Reservation
from libs.http.disconnects import cancel_on_disconnect
from libs.http.headers import header_values
from libs.http.packing import pack
from services.query.answers import cites_sources, encode_answer, sources_of, stats_of
from services.query.database import Database, NotSmallError, Session
from services.query.questions import Question, parse_question
from services.query.settings import QuerySettings
from services.query.statements import counts, source_names

PATH = "/api/v1/projects/{projectId}/analytics"

_MEDIA_TYPE = "application/json; charset=utf-8"
# An answer up to this size is given away at once; a larger one stays reserved until it is read.
_SMALL_BYTES = 64 * 1024
_MAX_UNREAD_BYTES = 48 * 1024 * 1024
# What an answer of many rows may become is reserved before it is made; so many are made at once.
_LARGE_BYTES = 16 * 1024 * 1024
_MAX_LARGE = 2
# Questions about one device at once. They are answered from the raw events, for seconds where these
# are millions; the rollups answer all others from a thousandth of that.
_MAX_RAW = 2
_MAX_WAITING = 64


class Analytics:
    """What the endpoint needs, and its one route. `share`: see Shares."""

    def __init__(
        self,
        database: Database,
        settings: QuerySettings,
        share: float,
        clock: Callable[[], datetime],
    ) -> None:
        self._database = database
        self._clock = clock
        # Less than a question has in all: then its caller is told what it has waited for.
        wait_s = 0.8 * settings.timeout_s
        self._unread = Budget(_MAX_UNREAD_BYTES, share, max_waiting=_MAX_WAITING, wait_s=wait_s)
        self._large = Budget(_MAX_LARGE, share, max_waiting=_MAX_WAITING, wait_s=wait_s)
        self._raw = Budget(_MAX_RAW, share, max_waiting=_MAX_WAITING, wait_s=wait_s)

    async def read(self, request: Request, reader: Reader) -> Response:
        """Answer one question."""
        now = self._clock()
        question = parse_question(
            reader.key.project_id,
            request.query_params.multi_items(),
            now.date(),
            complete_since(self._database.noted, now),
        )
        # A project may have any number of keys: it is what others share with.
        unread = self._unread.reservation(reader.key.project_id)
        try:
            accepted = header_values(request.scope, b"accept-encoding")
            answering = self._answer(question, unread, accepted)
            body, packed = await cancel_on_disconnect(request, answering)
        except BaseException:
            unread.release()
            raise
        headers = request.state.rate_limit.headers() | packed
        if unread.amount:
            return BackpressuredResponse(body, unread, headers, _MEDIA_TYPE)
        return Response(body, headers=headers, media_type=_MEDIA_TYPE)

    async def _answer(
        self, question: Question, unread: Reservation, accepted: Sequence[str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """The body as it is sent, and what tells how it is packed; of one that is not given away at
        once, as much is reserved.

        One of many rows is made while hardly another is. How many there are is known when
        ClickHouse has looked: then it looks once more.
        """
        async with self._database.session(unread.holder) as session, self._turn(question):
            try:
                body = await _body(session, question, if_small=True)
                if len(body) > _SMALL_BYTES:
                    await unread.acquire(len(body))
                body, packed = await pack(body, accepted)
            except NotSmallError:
                await unread.acquire(_LARGE_BYTES)
                async with self._large.acquired(unread.holder, 1):
                    body = await _body(session, question, if_small=False)
                    body, packed = await pack(body, accepted)
            if unread.amount:
                unread.resize(len(body))
        return body, packed

    def _turn(self, question: Question) -> AbstractAsyncContextManager[None]:
        """To be held while a question is answered; one about a device may have to wait for it."""
        if question.device_id is None:
            return nullcontext()
        return self._raw.acquired(question.project_id, 1)


async def _body(session: Session, question: Question, *, if_small: bool) -> bytes:
    stats = stats_of(await session.rows(counts(question), if_small=if_small))
    names: Sequence[Sequence[str]] = ()
    if cites_sources(stats):
        names = await session.rows(source_names(question), if_small=if_small)
    return encode_answer(question, stats, sources_of(stats, names))
