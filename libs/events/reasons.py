"""Why something was not counted: codes that producers see, and reasons in the dead-letter topic.

Ingest *rejects* (the producer hears of it), the processor *dead-letters* (nobody waits for an
answer any more, so the record is kept with its reason).
"""

from enum import StrEnum


class RejectCode(StrEnum):
    """Stable codes of the per-event verdicts in ingest's answer."""

    INVALID_JSON = "invalid_json"
    NOT_AN_OBJECT = "not_an_object"
    MISSING_FIELD = "missing_field"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_TYPE = "unknown_type"
    UNKNOWN_FIELD = "unknown_field"
    OCCURRED_AT_TOO_OLD = "occurred_at_too_old"
    OCCURRED_AT_IN_FUTURE = "occurred_at_in_future"
    LIVE_NOT_ALLOWED = "live_not_allowed"


class DeadLetterReason(StrEnum):
    """Stable reasons in the header `reason` of a dead letter."""

    EMPTY_RECORD = "empty_record"
    NOT_JSON = "not_json"
    INVALID_EVENT = "invalid_event"
    OCCURRED_AT_OUT_OF_RANGE = "occurred_at_out_of_range"
    REFUSED_BY_CLICKHOUSE = "refused_by_clickhouse"
