"""What is known of a batch that is tried again and again. Pure."""

from collections.abc import Iterator

from clickhouse_connect.driver.exceptions import Error

from services.processor.batch import Line, Record
from services.processor.reactions import may_be_of_rows

_FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
# So often ClickHouse must have refused a batch, each time after a recovery, before its rows are
# looked at.
_FAILURES_IN_VAIN = 3


class Attempt:
    """The attempts at one batch. `sent`: the dead letters, by record and line, that Kafka has."""

    def __init__(self, sent: set[tuple[Record, int | None]]) -> None:
        self.is_trusting = True  # whether the records' indexes are believed
        self.sent = sent
        self.refused: dict[Line, str] = {}  # lines that cannot be read, with what was said of them
        self._failures = 0
        self._pauses = pauses()

    def anew(self) -> "Attempt":
        """The first at a part of the batch, with what is known of its lines."""
        part = Attempt(self.sent)
        part.refused = self.refused
        return part

    def failed(self, error: Error) -> float:
        """Note a failure; how long to wait now, in seconds."""
        self._failures = self._failures + 1 if may_be_of_rows(error) else 0
        return next(self._pauses)

    @property
    def is_in_vain(self) -> bool:
        """Whether the same batch will probably be refused again."""
        return self._failures >= _FAILURES_IN_VAIN


def pauses() -> Iterator[float]:
    """Seconds, longer and longer, up to a bound."""
    pause_s = _FIRST_PAUSE_S
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
