"""What a check finds. Pure."""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from services.admin.doctor.installation import Installation

# Of the JSON: a field that goes or changes its meaning makes it one more.
SCHEMA_VERSION = 1


class Status(StrEnum):
    """How it stands: nothing to do; look at it soon; events are late, refused or in danger."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


# What cron sees.
EXIT_CODES = {Status.OK: 0, Status.WARN: 1, Status.FAIL: 2}
_BY_WEIGHT = list(EXIT_CODES)


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, what would be right, and what to do about it, in a sentence."""

    status: Status
    seen: str
    expected: str = ""
    advice: str = ""


Check = Callable[[Installation], Awaitable[Finding]]


def ok(seen: str) -> Finding:
    """Nothing to do."""
    return Finding(Status.OK, seen)


def warn(seen: str, expected: str, advice: str) -> Finding:
    """Look at it soon."""
    return Finding(Status.WARN, seen, expected, advice)


def fail(seen: str, expected: str, advice: str) -> Finding:
    """Events are late, refused or in danger, or nobody can tell."""
    return Finding(Status.FAIL, seen, expected, advice)


def worst(statuses: Iterable[Status]) -> Status:
    """The verdict over some."""
    return max(statuses, key=_BY_WEIGHT.index, default=Status.OK)


def as_json(found: dict[str, Finding], at: datetime) -> dict[str, Any]:
    """All of it for programs; `version` tells when a field has gone or means something else."""
    return {
        "version": SCHEMA_VERSION,
        "at": at.isoformat(timespec="seconds"),
        "verdict": worst(finding.status for finding in found.values()).value,
        "checks": [{"name": name, **asdict(finding)} for name, finding in found.items()],
    }
