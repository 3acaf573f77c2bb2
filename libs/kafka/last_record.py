"""Up to which record a partition was counted. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LastRecord:
    """The last record of a partition that left a row in the table."""

    offset: int
    appended_at_ms: int
