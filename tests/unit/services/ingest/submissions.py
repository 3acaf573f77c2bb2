"""The submission of the golden events: a fixed project, key, time and caller."""

from services.ingest.cardinality import Cardinality
from services.ingest.countries import country_by_registry
from services.ingest.enrich import Caller, Submission
from services.ingest.made_ids import MadeIds
from tests.golden_events import ACCEPTED_AT, PROJECT


def submission(
    *,
    may_be_live: bool = True,
    idempotency_key: str | None = None,
    address: str = "127.0.0.1",
    user_agent: str = "",
    max_keys: int = 1_000,
    project_id: str = PROJECT,
) -> Submission:
    return Submission(
        project_id=project_id,
        may_be_live=may_be_live,
        accepted_at=ACCEPTED_AT,
        caller=Caller(lambda: address, user_agent, country_by_registry),
        country_of=country_by_registry,
        cardinality=Cardinality(max_keys, 1 << 20),
        made_ids=None if idempotency_key is None else MadeIds(project_id, idempotency_key),
    )
