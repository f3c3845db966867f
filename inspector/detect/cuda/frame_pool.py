"""The shared memory of frames, page-locked, so that the copy engine reads frames where they lie.

A frame of 5 MB would otherwise be copied once more, into a staging buffer, on the CPU.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inspector.detect.cuda.gpu_slot import GpuError

_LINE: Final = re.compile(
    rb"^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+) +(/dev/shm/\S.*)$", re.MULTILINE
)
_MAPS: Final = Path("/proc/self/maps")
_GONE: Final = frozenset({"CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED", "CUDA_ERROR_INVALID_VALUE"})
"""What the driver says of memory that it has let go by itself, with its mapping."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping of a shared memory file. Another file at the same address has another inode."""

    start: int
    end: int
    offset: int
    inode: int


def shared_mappings(text: bytes) -> list[Mapping]:
    """The mappings of /dev/shm in the text of /proc/self/maps (proc(5)). Pure."""
    return [
        Mapping(int(start, 16), int(end, 16), int(offset, 16), int(inode))
        for start, end, offset, inode, _ in _LINE.findall(text)
    ]


class FramePool:
    """Registers each mapping once, when its first frame comes. Driven from one thread.

    `lock` and `unlock` page-lock memory and give it free: (start, size) and (start). A camera that
    restarts brings new shared memory, maybe at an old address: so the mapping under a frame is looked
    up each time (0.3 ms at most, less than copying a frame), and the old one given free.
    """

    def __init__(
        self,
        lock: Callable[[int, int], None],
        unlock: Callable[[int], None],
        read_maps: Callable[[], bytes] = _MAPS.read_bytes,
    ) -> None:
        self._lock = lock
        self._unlock = unlock
        self._read_maps = read_maps
        self._locked: dict[int, Mapping] = {}
        self._refused: set[Mapping] = set()

    def holds(self, address: int, size: int) -> bool:
        """Whether these bytes are page-locked now; locks their mapping when it is new.

        False for memory that is not shared, or that the driver refuses: the caller then stages.
        """
        mappings = shared_mappings(self._read_maps())
        self._forget_all_but(mappings)
        for mapping in mappings:
            if mapping.start <= address and address + size <= mapping.end:
                return mapping.start in self._locked or self._try(mapping)
        return False

    def close(self) -> None:
        """Give everything free."""
        self._forget_all_but([])

    def _try(self, mapping: Mapping) -> bool:
        if mapping in self._refused:
            return False
        try:
            self._lock(mapping.start, mapping.end - mapping.start)
        except GpuError:
            self._refused.add(mapping)
            return False
        self._locked[mapping.start] = mapping
        return True

    def _forget_all_but(self, mappings: list[Mapping]) -> None:
        alive = set(mappings)
        for start, mapping in list(self._locked.items()):
            if mapping not in alive:
                del self._locked[start]
                self._give_free(start)
        self._refused &= alive

    def _give_free(self, start: int) -> None:
        try:
            self._unlock(start)
        except GpuError as error:
            if error.code not in _GONE:
                raise
