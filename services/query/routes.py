"""The analytics endpoint: the key, the question, the rows, the answer."""

from collections.abc import Callable
from datetime import datetime

from starlette.requests import Request
from starlette.responses import Response

from libs.access.api_keys import Scope
from libs.http.admission import Admission
from services.query.answers import cites_sources, encode_answer, sources_of, stats_of
from services.query.database import Database
from services.query.questions import parse_question
from services.query.statements import counts, source_names

PATH = "/api/v1/projects/{projectId}/analytics"


class Analytics:
    """What the endpoint needs, and its one route."""

    def __init__(
        self, admission: Admission, database: Database, clock: Callable[[], datetime]
    ) -> None:
        self._admission = admission
        self._database = database
        self._clock = clock

    async def read(self, request: Request) -> Response:
        """Answer one question."""
        project_id = request.path_params["projectId"]
        await self._admission.admit(request, project_id, Scope.ANALYTICS_READ)
        question = parse_question(
            project_id, request.query_params.multi_items(), self._clock().date()
        )
        stats = stats_of(await self._database.rows(counts(question)))
        names = await self._database.rows(source_names(question)) if cites_sources(stats) else ()
        return Response(
            encode_answer(question, stats, sources_of(stats, names)),
            headers=request.state.rate_limit.headers(),
            media_type="application/json",
        )
