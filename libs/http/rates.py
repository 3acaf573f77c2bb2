"""How fast a body comes. Pure."""


class BodyRate:
    """A rate over windows of time that follow each other; a body is judged at the end of each."""

    __slots__ = ("_min_bytes_per_s", "_since", "_then_bytes", "_window_s")

    def __init__(self, min_bytes_per_s: int, window_s: float) -> None:
        self._min_bytes_per_s = min_bytes_per_s
        self._window_s = window_s
        self._since, self._then_bytes = 0.0, 0

    def begin(self, now: float, received_bytes: int) -> None:
        """A window begins; nothing is held against the sender for what was before."""
        self._since, self._then_bytes = now, received_bytes

    def is_too_low(self, now: float, received_bytes: int) -> bool:
        """Whether a window has ended in which too little came."""
        took_s = now - self._since
        if took_s < self._window_s:
            return False
        brought_bytes = received_bytes - self._then_bytes
        self.begin(now, received_bytes)
        return brought_bytes < self._min_bytes_per_s * took_s
