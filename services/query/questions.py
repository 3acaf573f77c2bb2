"""From a query string to a question, or to the problem that says what would be right. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from libs.http.problems import Problem

MAX_DEVICE_ID_LENGTH = 128
DEFAULT_DAYS = timedelta(days=30)
ALL = "all"

_PARAMETERS = ("from", "to", "category", "live", "deviceId")
# What people write instead of a name differs in these and in letter case.
_DECORATION = re.compile(r"[\s_()\[\]{}-]+")
_NEAR_MISSES = {name.lower(): name for name in _PARAMETERS}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_BOOLEANS = {"true": True, "false": False}


class Category(StrEnum):
    """What can be asked for."""

    USAGE = "usage"
    SOURCE = "source"
    ACTION = "action"
    LANGUAGE = "language"
    COUNTRY = "country"
    DEVICE = "device"
    RAG = "rag"
    CONVERSATION = "conversation"
    SESSION = "session"


@dataclass(frozen=True, slots=True)
class Question:
    """What a request asks. `category` None: all of them; `device_id` None: all devices."""

    project_id: str
    first_day: date
    last_day: date
    category: Category | None
    live_only: bool
    device_id: str | None


def parse_question(
    project_id: str,
    parameters: Sequence[tuple[str, str]],
    today: date,
    kept_since: date | None = None,
) -> Question:
    """The question of these query parameters. Raises a Problem with status 400.

    `kept_since`: the first day of which all raw events are there, which alone tell of a device.
    """
    given = _once_each(parameters)
    first_day, last_day = _day("from", given.get("from")), _day("to", given.get("to"))
    device_id = _device_id(given.get("deviceId"))
    oldest = date.min if device_id is None or kept_since is None else kept_since
    if last_day is None:
        last_day = max(today, first_day or today)
    if first_day is None:
        first_day = min(max(_days_before(last_day), oldest), last_day)
    if first_day > last_day:
        raise Problem(
            400, "invalid_range", f"from ({first_day}) must not be after to ({last_day})."
        )
    if first_day < oldest:
        raise Problem(
            400,
            "days_not_kept",
            "Answers for one device are made from raw events, which are kept from"
            f" {oldest} on; ask for no day before.",
        )
    return Question(
        project_id=project_id,
        first_day=first_day,
        last_day=last_day,
        category=_category(given.get("category")),
        live_only=_live(given.get("live")),
        device_id=device_id,
    )


def _once_each(parameters: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Our parameters. One with an empty value counts as absent: many tools send all they have."""
    given: dict[str, str] = {}
    for name, value in parameters:
        if name in given and value:
            raise Problem(400, "repeated_parameter", f"{name} must be given at most once.")
        if name not in _PARAMETERS:
            _check_no_near_miss(name)
        elif value:
            given[name] = value
    return given


def _check_no_near_miss(name: str) -> None:
    """Refuse a name that is nearly one of ours: it would be ignored in silence."""
    meant = _NEAR_MISSES.get(_DECORATION.sub("", name).lower())
    if meant is not None:
        raise Problem(
            400, "unknown_parameter", f"There is no parameter {name!r}; it is written {meant}."
        )


def _day(name: str, text: str | None) -> date | None:
    if text is None:
        return None
    try:
        if _DATE.match(text):
            return date.fromisoformat(text)
    except ValueError:
        pass  # the 30th of February, a 13th month, the year 0
    raise Problem(400, "invalid_date", f"{name} must be a real date written YYYY-MM-DD.")


def _days_before(day: date) -> date:
    return day - min(DEFAULT_DAYS, day - date.min)


def _category(text: str | None) -> Category | None:
    if text is None or text == ALL:
        return None
    try:
        return Category(text)
    except ValueError:
        names = ", ".join(Category)
        raise Problem(400, "unknown_category", f"category must be one of {names}.") from None


def _live(text: str | None) -> bool:
    if text is None:
        return True
    if text.lower() not in _BOOLEANS:
        raise Problem(400, "invalid_live", "live must be true or false.")
    return _BOOLEANS[text.lower()]


def _device_id(text: str | None) -> str | None:
    if text is not None and not 1 <= len(text) <= MAX_DEVICE_ID_LENGTH:
        raise Problem(
            400,
            "invalid_device_id",
            f"deviceId must have 1 to {MAX_DEVICE_ID_LENGTH} characters.",
        )
    return text
