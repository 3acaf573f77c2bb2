"""The analytics endpoint: the key, the question, the rows, the answer."""

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from libs.access.api_keys import Scope
from libs.http.admission import Admission
from libs.http.leaving import unless_gone
from services.query.answers import cites_sources, encode_answer, sources_of, stats_of
from services.query.database import Database
from services.query.questions import Question, parse_question
from services.query.statements import counts, source_names

PATH = "/api/v1/projects/{projectId}/analytics"


class Analytics:
    """What the endpoint needs, and its one route."""

    def __init__(
        self,
        admission: Admission,
        database: Database,
        max_days: int,
        clock: Callable[[], datetime],
    ) -> None:
        self._admission = admission
        self._database = database
        self._max_days = max_days
        self._clock = clock

    async def read(self, request: Request) -> Response:
        """Answer one question."""
        project_id = request.path_params["projectId"]
        await self._admission.admit(request, project_id, Scope.ANALYTICS_READ)
        question = parse_question(
            project_id, request.query_params.multi_items(), self._clock().date(), self._max_days
        )
        return Response(
            await unless_gone(request, self._answer(question)),
            headers=request.state.rate_limit.headers(),
            media_type="application/json",
        )

    async def _answer(self, question: Question) -> bytes:
        async with self._database.session() as database:
            stats = stats_of(await database.rows(counts(question)))
            names = await database.rows(source_names(question)) if cites_sources(stats) else ()
        return encode_answer(question, stats, sources_of(stats, names))
