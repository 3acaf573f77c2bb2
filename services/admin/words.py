"""Numbers and lists for people. Pure."""

from collections.abc import Sequence

_SHOWN = 5


def size(number: float) -> str:
    """A number of bytes."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:,.1f} TB"


def age(seconds: float) -> str:
    """How long something takes or is ago."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s"


def listed(things: Sequence[str]) -> str:
    """The first few of a list, and how many more there are."""
    more = f" and {len(things) - _SHOWN} more" if len(things) > _SHOWN else ""
    return ", ".join(things[:_SHOWN]) + more
