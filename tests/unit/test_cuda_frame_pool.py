"""Page-locked shared memory: each mapping once, and never another camera's old one."""

import pytest

from inspector.detect.cuda.frame_pool import FramePool, Mapping, shared_mappings
from inspector.detect.cuda.gpu_slot import GpuError

LIBRARY = b"7f0000000000-7f0000100000 r-xp 00000000 08:01 99   /usr/lib/libc.so.6\n"
FIRST = b"7f1000000000-7f1000800000 r--s 00000000 00:1a 4711   /dev/shm/inspector_1_frames_cam\n"
SECOND = b"7f1000000000-7f1000800000 r--s 00000000 00:1a 4712   /dev/shm/inspector_1_frames_cam (deleted)\n"
ADDRESS = 0x7F1000001000


class Driver:
    """Keeps what is page-locked, as CUDA does: locking twice is an error."""

    def __init__(self) -> None:
        self.locked: dict[int, int] = {}
        self.refuses = False
        self.calls = 0
        self.says = ""

    def lock(self, start: int, size: int) -> None:
        self.calls += 1
        if self.refuses or start in self.locked:
            raise GpuError("CUDA_ERROR_NOT_SUPPORTED", "refused")
        self.locked[start] = size

    def unlock(self, start: int) -> None:
        if self.says:
            raise GpuError(self.says, "cuMemHostUnregister failed")
        del self.locked[start]


def test_only_shared_memory_is_taken_from_the_maps() -> None:
    assert shared_mappings(LIBRARY + FIRST) == [Mapping(0x7F1000000000, 0x7F1000800000, 0, 4711)]
    assert shared_mappings(b"") == []


def test_a_mapping_is_locked_once_and_given_free_at_the_end() -> None:
    driver = Driver()
    pool = FramePool(driver.lock, driver.unlock, lambda: LIBRARY + FIRST)
    assert all(pool.holds(ADDRESS + index, 4096) for index in range(3))
    assert driver.calls == 1
    assert driver.locked == {0x7F1000000000: 0x800000}
    assert not pool.holds(0x7F0000000000, 16)  # not shared
    assert not pool.holds(0x7F10007FFFF0, 4096)  # runs past the end
    pool.close()
    assert driver.locked == {}


def test_new_shared_memory_at_an_old_address_is_locked_anew() -> None:
    driver = Driver()
    maps = [FIRST]
    pool = FramePool(driver.lock, driver.unlock, lambda: maps[0])
    assert pool.holds(ADDRESS, 4096)
    maps[0] = SECOND
    assert pool.holds(ADDRESS, 4096)
    assert driver.calls == 2


def test_memory_that_the_driver_let_go_with_its_mapping_costs_no_frame() -> None:
    driver = Driver()
    maps = [FIRST]
    pool = FramePool(driver.lock, driver.unlock, lambda: maps[0])
    assert pool.holds(ADDRESS, 4096)
    maps[0], driver.locked, driver.says = SECOND, {}, "CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED"
    assert pool.holds(ADDRESS, 4096)
    assert driver.calls == 2
    maps[0], driver.says = b"", "CUDA_ERROR_ILLEGAL_ADDRESS"  # one that stays is told
    with pytest.raises(GpuError, match="ILLEGAL_ADDRESS"):
        pool.holds(ADDRESS, 4096)


def test_what_the_driver_refuses_is_not_asked_for_again() -> None:
    driver = Driver()
    driver.refuses = True
    pool = FramePool(driver.lock, driver.unlock, lambda: FIRST)
    assert not pool.holds(ADDRESS, 4096)
    assert not pool.holds(ADDRESS, 4096)
    assert driver.calls == 1


def test_the_maps_of_this_process_can_be_read() -> None:
    pool = FramePool(Driver().lock, Driver().unlock)
    assert not pool.holds(1, 1)
