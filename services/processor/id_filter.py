"""A filter of identities: two bytes each instead of sixteen, at the price of some false alarms.

A Bloom filter whose size is a power of two, so that it can be folded: the two halves laid over each
other are the filter of half the size, with more false alarms. What it has not was never added.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]

_BITS_AN_IDENTITY = 16  # one false alarm in 2,000 or fewer
_PROBES = 4
_SMALLEST_BITS = 1 << 10
_SLICE = 1 << 20  # identities looked at in one go, to bound what that takes in memory


@dataclass(slots=True)
class IdFilter:
    """`bits`: packed, a power of two of them. `count`: how many identities it stands for."""

    bits: NDArray[np.uint8]
    count: int

    def __len__(self) -> int:
        return self.count

    @property
    def size_bytes(self) -> int:
        """The memory that it takes."""
        return len(self.bits)

    @property
    def bits_an_identity(self) -> float:
        """The more, the fewer false alarms."""
        return len(self.bits) * 8 / max(1, self.count)

    @property
    def is_smallest(self) -> bool:
        """Whether folding it any further would save nothing."""
        return len(self.bits) * 8 <= _SMALLEST_BITS

    @classmethod
    def of(cls, keys: Hashes, checks: Hashes) -> "IdFilter":
        """The filter of these identities."""
        size = _SMALLEST_BITS
        while size < len(keys) * _BITS_AN_IDENTITY:
            size *= 2
        flags = np.zeros(size, dtype=np.bool_)
        for start in range(0, len(keys), _SLICE):
            some = slice(start, start + _SLICE)
            for places in _places(keys[some], checks[some], size):
                flags[places] = True
        return cls(np.packbits(flags), len(keys))

    def may_contain(self, keys: Hashes, checks: Hashes) -> NDArray[np.bool_]:
        """For each identity whether it was added, or looks as if."""
        found = np.ones(len(keys), dtype=np.bool_)
        for places in _places(keys, checks, len(self.bits) * 8):
            found &= (self.bits[places >> 3] >> (7 - (places & 7)).astype(np.uint8) & 1).astype(
                np.bool_
            )
        return found

    def fold(self) -> None:
        """Take half the memory from now on."""
        half = len(self.bits) // 2
        self.bits = self.bits[:half] | self.bits[half:]


def _places(keys: Hashes, checks: Hashes, size: int) -> list[NDArray[np.int64]]:
    """Where the bits of each identity are: lower bits of a larger size's, so that folds agree."""
    step = checks | np.uint64(1)
    mask = np.uint64(size - 1)
    return [((keys + np.uint64(probe) * step) & mask).astype(np.int64) for probe in range(_PROBES)]
