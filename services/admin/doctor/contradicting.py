"""Settings that contradict each other, as far as this command is told them."""

from services.admin.contradictions import doubts, of_retention, of_topics
from services.admin.doctor.findings import Finding, fail, ok, warn
from services.admin.doctor.installation import Installation

_EXPECTED = "settings that agree"
_ADVICE = "Change one of the variables named, and restart what reads it."


async def settings(installation: Installation) -> Finding:
    """The settings agree."""
    told = installation.settings
    wrong = of_topics(told.topics, told.kafka) + of_retention(told.retention, told.topics)
    doubtful = doubts(
        told.topics,
        replicas=told.doctor.replicas,
        has_store=told.rate_limit.store_url is not None,
        has_pepper=told.access is not None,
    )
    if not wrong + doubtful:
        return ok("no contradiction")
    return (fail if wrong else warn)("; ".join(wrong + doubtful), _EXPECTED, _ADVICE)
