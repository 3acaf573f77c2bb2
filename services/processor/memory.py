"""The bound of what all partitions of a process remember together. Pure.

Beyond it nothing is forgotten: the oldest identities become filters, which take an eighth, and
filters are folded, which takes half each time. What a filter has is asked of the table, so counts
stay exact, and the processor becomes slower the further it is beyond the bound.
"""

from collections.abc import Collection
from dataclasses import dataclass

from services.processor.dedup_index import Identities, Partition

# With fewer bits, more than every sixth new identity is a false alarm.
_FEW_BITS = 4
# What is in use every moment becomes filters last, and then many at a time: filters stay few.
_PORTIONS = 64


@dataclass(frozen=True, slots=True)
class Usage:
    """The memory that identities take, and how many of them only filters know."""

    size_bytes: int
    identities: int
    filtered: int


def usage(partitions: Collection[Partition]) -> Usage:
    """What these partitions remember."""
    remembered = [one for partition in partitions for one in partition.remembered()]
    return Usage(
        size_bytes=sum(one.size_bytes for one in remembered),
        identities=sum(map(len, remembered)),
        filtered=sum(len(one) - len(one.exact) for one in remembered),
    )


def shrink(partitions: Collection[Partition], max_bytes: int) -> None:
    """Bring what these partitions remember below the bound, as far as filters can."""
    while usage(partitions).size_bytes > max_bytes:
        remembered = [one for partition in partitions for one in partition.remembered()]
        if not (
            _compact_oldest(partitions)
            or _fold_largest(remembered, _FEW_BITS)
            or _compact_largest(remembered, max_bytes // _PORTIONS)
            or _fold_largest(remembered, 0)
        ):
            return


def _compact_oldest(partitions: Collection[Partition]) -> bool:
    older = [one for partition in partitions for one in partition.older() if one[1].exact_bytes]
    if older:
        min(older, key=lambda one: one[0])[1].compact()
    return bool(older)


def _compact_largest(remembered: Collection[Identities], least_bytes: int) -> bool:
    largest = max(remembered, key=lambda one: one.exact_bytes)
    is_worth_it = largest.exact_bytes > least_bytes
    if is_worth_it:
        largest.compact()
    return is_worth_it


def _fold_largest(remembered: Collection[Identities], least_bits: int) -> bool:
    filters = [one for identities in remembered for one in identities.filters]
    foldable = [one for one in filters if one.bits_an_identity > least_bits and not one.is_smallest]
    if foldable:
        max(foldable, key=lambda one: one.size_bytes).fold()
    return bool(foldable)
