"""What torch's CUDA caching allocator counts as allocated while vLLM loads a model.

A tensor can be counted larger than it is: large blocks come in steps of 2 MiB, and a free block is handed out whole
when it may not be split. Together this is below 1 % of a large model and a few percent of a small one. Rules:
`c10/cuda/CUDACachingAllocator.cpp` of torch 2.11, with `max_split_size_mb:20`, which vLLM sets while it loads.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable

from tandem.sizing.units import MIB, round_up

_SMALL = 1 * MIB
_LARGE_BUFFER = 20 * MIB
_LARGE_FROM = 10 * MIB
_MAX_SPLIT = 20 * MIB


class CachingAllocator:
    """Counts the bytes of a sequence of allocations.

    Attributes:
        allocated: bytes counted now.
    """

    def __init__(self, max_split: int = _MAX_SPLIT) -> None:
        self.allocated = 0
        self._free: list[int] = []
        self._max_split = max_split

    def allocate(self, size: int) -> int:
        """Counts one tensor and returns the size of the block that it was given."""
        size = -(-size // 512) * 512
        if size <= _SMALL:
            self.allocated += size
            return size
        block = (self._take(size) if self._free else None) or (
            _LARGE_BUFFER if size < _LARGE_FROM else round_up(size, 2 * MIB)
        )
        if size < self._max_split and block - size > _SMALL:
            insort(self._free, block - size)
            block = size
        self.allocated += block
        return block

    def allocate_all(self, sizes: Iterable[int]) -> None:
        """Counts tensors in the order in which they are made."""
        for size in sizes:
            self.allocate(size)

    def release(self, block: int) -> None:
        """Gives a block back, to be handed out again."""
        self.allocated -= block
        if block > _SMALL:
            insort(self._free, block)

    def _take(self, size: int) -> int | None:
        """The smallest free block that holds the size, unless the rules keep it for another."""
        place = bisect_left(self._free, size)
        if place == len(self._free):
            return None
        block = self._free[place]
        if size < self._max_split <= block:
            return None
        if size >= self._max_split and block >= size + _LARGE_BUFFER:
            return None
        return self._free.pop(place)


def block_size(size: int, *, may_split: bool) -> int:
    """Bytes counted for one fresh tensor of this size.

    Args:
        may_split: the allocator may split blocks of any size, its default outside of loading.
    """
    return CachingAllocator(max_split=2**62 if may_split else _MAX_SPLIT).allocate(size)
