"""The one route of ingest: from a request to its verdicts, through Kafka's acknowledgement."""

import asyncio
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import get_args

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from libs.access.api_keys import ActiveKey, Mode
from libs.access.callers import Writer
from libs.access.windows import Limit, RateLimitState
from libs.events.models import AnyEvent
from libs.events.reasons import RejectCode
from libs.http.admission import Admission
from libs.http.budget import Budget, Reservation
from libs.http.headers import header_values
from libs.http.problems import Problem
from libs.telemetry.metrics import EVENTS_ACCEPTED, EVENTS_REJECTED
from services.ingest.answers import answer
from services.ingest.batches import Batch, Turns
from services.ingest.bodies import (
    RawEvent,
    Received,
    compression_of,
    decompress,
    media_type_of,
    split_events,
)
from services.ingest.cardinality import Cardinality
from services.ingest.countries import CountryOf
from services.ingest.enrich import Caller, Submission
from services.ingest.made_ids import MadeIds
from services.ingest.pacing import Pace, slices
from services.ingest.publisher import Publisher, size_of
from services.ingest.quota import WriteQuota
from services.ingest.reading import read_body
from services.ingest.settings import BodySettings

EVENTS_PATH = "/api/v1/projects/{projectId}/events"

# Made once: to find a series by its labels costs more than to count in it.
_ACCEPTED = {
    type_: EVENTS_ACCEPTED.labels(str(type_.__struct_config__.tag)) for type_ in get_args(AnyEvent)
}
_REJECTED = {code: EVENTS_REJECTED.labels(code.value) for code in RejectCode}

_IDEMPOTENCY_KEY = re.compile(r"[\x20-\x7e]{1,255}\Z")


def made_ids(project_id: str, idempotency_keys: Sequence[str]) -> MadeIds | None:
    """What makes the ids of a request's events; None where they need not be the same again."""
    if not idempotency_keys:
        return None
    if len(idempotency_keys) > 1 or _IDEMPOTENCY_KEY.match(idempotency_keys[0]) is None:
        raise Problem(
            400,
            "invalid_idempotency_key",
            "Idempotency-Key must be given once, with 1 to 255 printable ASCII characters.",
        )
    return MadeIds(project_id, idempotency_keys[0])


@dataclass(frozen=True)
class EventsRoute:
    """POST of events. What it is built from comes from `app`."""

    admission: Admission
    quota: WriteQuota
    pace: Pace
    publisher: Publisher
    country_of: CountryOf
    cardinality: Cardinality
    limits: BodySettings
    turns: Turns
    budget: Budget  # bytes of large bodies, by project
    clock: Callable[[], datetime]

    async def post(self, request: Request, writer: Writer) -> Response:
        """Take what is valid, refuse the rest, and answer when Kafka has it."""
        limits = self.quota.limits_of(writer.key)
        self.quota.check(request, limits)
        project_id = writer.key.project_id
        reservation = self.budget.reservation(project_id)
        try:
            batch, units, state = await self._read(request, writer.key, limits, reservation)
            if batch.lines:
                span = request.scope["state"].get("span")
                if limits:
                    for lines, its_units in slices(limits[0], units, batch.lines):
                        if wait_s := self.pace.wait_s(limits[0], its_units):
                            await asyncio.sleep(wait_s)
                        await self.publisher.publish(lines, project_id, span)
                else:
                    await self.publisher.publish(batch.lines, project_id, span)
        finally:
            reservation.release()
        _measure(batch)
        return answer(len(batch.lines), batch.rejected, batch.warnings, state, request)

    async def _read(
        self, request: Request, key: ActiveKey, limits: Sequence[Limit], reservation: Reservation
    ) -> tuple[Batch, int, RateLimitState | None]:
        """The request's events, the units that they count, and what the key may write yet.

        Of the body nothing is held while Kafka is waited for.
        """
        received = Received()
        try:
            submission = self._submission(request, key)
            events = await self._events(request, reservation, received)
        except Problem as problem:
            if problem.status < 500:
                await self.quota.charge(request, limits, received)
            raise
        except ClientDisconnect:
            await self.quota.charge(request, limits, received)
            raise
        state = await self.quota.take(request, limits, len(events), received)
        batch = await self.turns.prepare(events, submission)
        if reservation.amount:
            reservation.resize(sum(map(size_of, batch.lines)))
        return batch, max(len(events), received.kib), state

    async def _events(
        self, request: Request, reservation: Reservation, received: Received
    ) -> Sequence[RawEvent]:
        scope = request.scope
        # A header that is given several times is one list (RFC 9110, 5.3).
        media_type = media_type_of(", ".join(header_values(scope, b"content-type")))
        compression = compression_of(", ".join(header_values(scope, b"content-encoding")))
        most = self.limits.max_body_bytes
        packed = await read_body(request, compression, most, reservation, received)
        body = await decompress(packed, compression, most, received)
        return await split_events(body, media_type, self.limits.max_events)

    def _submission(self, request: Request, key: ActiveKey) -> Submission:
        return Submission(
            project_id=key.project_id,
            may_be_live=key.mode is Mode.LIVE,
            accepted_at=self.clock(),
            caller=Caller(
                lambda: str(self.admission.caller_address(request)),
                next(iter(header_values(request.scope, b"user-agent")), ""),
                self.country_of,
            ),
            country_of=self.country_of,
            cardinality=self.cardinality,
            made_ids=made_ids(key.project_id, header_values(request.scope, b"idempotency-key")),
        )


def _measure(batch: Batch) -> None:
    for type_ in set(batch.types):
        _ACCEPTED[type_].inc(batch.types.count(type_))
    if batch.rejected:
        for code, count in Counter(refusal.code for _, refusal in batch.rejected).items():
            _REJECTED[code].inc(count)
