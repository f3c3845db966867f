"""The outbox on disk: what a killed process leaves is read back, whatever was torn."""

import resource
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.errors import ConfigError
from inspector.plc.outbox import AWAITING_ACK, Entry, Kind
from inspector.plc.outbox_file import Answered, End, OutboxFile, to_entry, to_record

OFFSET_NS = 1_000_000


def verdict(key: int) -> Entry:
    return Entry(
        key=key,
        kind=Kind.VERDICT,
        payload=b'{"verdict_id":"v"}',
        verdict_id=f"v{key}",
        part_id=f"p{key}",
        valid_until_ns=500 + key,
        urgent=key == 2,
    )


def write(directory: Path, *records: object) -> None:
    file = OutboxFile(directory)
    for record in records:
        file.append(record)  # type: ignore[arg-type]
    file.close()


def read(directory: Path) -> tuple[list[int], tuple[tuple[str, str], ...], int, int]:
    file = OutboxFile(directory)
    file.close()
    loaded = file.loaded
    keys = [record.key for record in loaded.entries]
    return keys, loaded.awaiting, loaded.next_key, loaded.corrupt_lines


def test_what_has_not_ended_is_there_after_a_restart(tmp_path: Path) -> None:
    records = [to_record(verdict(key), OFFSET_NS) for key in (1, 2, 3, 4)]
    write(tmp_path, *records, End(key=1, out=True), End(key=3, out=False))
    assert read(tmp_path) == ([2, 4], (("v1", "p1"),), 5, 0)


def test_an_entry_comes_back_on_the_clock_of_the_next_boot(tmp_path: Path) -> None:
    write(tmp_path, to_record(verdict(2), OFFSET_NS))
    file = OutboxFile(tmp_path)
    file.close()
    (record,) = file.loaded.entries
    entry = to_entry(record, OFFSET_NS + 200)  # this boot started 200 ns later
    assert entry.valid_until_ns == 502 - 200
    assert entry.urgent
    assert entry.payload == verdict(2).payload


def test_the_restart_compacts(tmp_path: Path) -> None:
    for _ in range(3):
        write(tmp_path, *(to_record(verdict(key), 0) for key in range(50)), End(key=0, out=True))
    assert read(tmp_path)[0] == list(range(1, 50))
    assert (tmp_path / "outbox.log").read_bytes().count(b"\n") == 51, (
        "and the count, and one that waits for the PLC"
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(cut=st.integers(0, 900), junk=st.binary(max_size=40))
def test_a_torn_tail_costs_only_itself(
    tmp_path_factory: pytest.TempPathFactory, cut: int, junk: bytes
) -> None:
    directory = tmp_path_factory.mktemp("torn")
    write(directory, *(to_record(verdict(key), 0) for key in range(1, 6)))
    path = directory / "outbox.log"
    whole = path.read_bytes()
    path.write_bytes(whole[:cut] + junk)
    intact = [n + 1 for n, end in enumerate(ends(whole)) if end <= cut]
    keys, _, _, _ = read(directory)
    assert keys[: len(intact)] == intact
    assert read(directory) == (keys, (), keys[-1] + 1 if keys else 1, 0), "it is clean again"


def ends(text: bytes) -> list[int]:
    return [n + 1 for n, byte in enumerate(text) if byte == ord("\n")]


@given(st.binary(max_size=300))
@settings(max_examples=60)
def test_any_file_can_be_started_from(tmp_path_factory: pytest.TempPathFactory, text: bytes) -> None:
    directory = tmp_path_factory.mktemp("any")
    (directory / "outbox.log").write_bytes(text)
    assert read(directory)[0] == []


def test_two_processes_cannot_share_it(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path)
    with pytest.raises(ConfigError, match="in use by another inspector"):
        OutboxFile(tmp_path)
    file.close()
    OutboxFile(tmp_path).close()


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot use outbox folder .*file"):
        OutboxFile(tmp_path / "file")


def test_compaction_keeps_the_open_and_what_comes_after(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path)
    for key in range(100):
        file.append(to_record(verdict(key), 0))
    file.compact([to_record(verdict(7), 0)], [("v3", "p3")])
    file.append(to_record(verdict(100), 0))
    file.close()
    assert read(tmp_path)[:2] == ([7, 100], (("v3", "p3"),))


def test_what_the_plc_has_not_acknowledged_survives_every_restart(tmp_path: Path) -> None:
    puts = [to_record(verdict(key), 0) for key in (1, 2, 3)]
    ends = [End(key=key, out=True) for key in (1, 2, 3)]
    write(tmp_path, *puts, *ends, Answered(verdict_id="v2"))
    for _ in range(3):
        assert read(tmp_path)[1] == (("v1", "p1"), ("v3", "p3"))
    write(tmp_path, Answered(verdict_id="v1"))
    assert read(tmp_path)[1] == (("v3", "p3"),)


def test_a_plc_that_never_acknowledges_does_not_fill_the_disk(tmp_path: Path) -> None:
    keys = range(AWAITING_ACK + 10)
    write(tmp_path, *(record for k in keys for record in (to_record(verdict(k), 0), End(key=k, out=True))))
    awaiting = read(tmp_path)[1]
    assert len(awaiting) == AWAITING_ACK
    assert awaiting[-1] == (f"v{keys[-1]}", f"p{keys[-1]}")


@contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process can grow: write(2) fails with EFBIG, as it does with ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_a_full_disk_refused_is_in_the_next_snapshot(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path)
    lost = to_record(verdict(1), 0)
    with full_disk():
        file.append(lost)
        wait_until(lambda: file.failure is not None)
    file.append(End(key=5, out=True))  # written, it would say that 1 to 4 had been there
    assert (tmp_path / "outbox.log").read_bytes() == b""
    assert file.wants_compaction
    file.compact([lost], [], next_key=6)
    file.append(to_record(verdict(6), 0))
    wait_until(lambda: file.failure is None)
    assert not file.wants_compaction
    file.close()
    assert read(tmp_path) == ([1, 6], (), 7, 0)


def test_a_disk_that_stays_full_is_tried_again_and_not_with_each_message(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path)
    with full_disk():
        file.append(to_record(verdict(1), 0))
        wait_until(lambda: file.failure is not None)
        file.compact([to_record(verdict(1), 0)], [], next_key=2)
        wait_until(lambda: file.counters["write_errors"] == 2)
        assert not file.wants_compaction
        wait_until(lambda: file.wants_compaction)
    file.close()


def test_a_restart_on_a_full_disk_begins_with_what_was_there_and_writes_when_there_is_room(
    tmp_path: Path,
) -> None:
    write(tmp_path, to_record(verdict(1), 0))
    with full_disk():
        file = OutboxFile(tmp_path)
        assert [record.key for record in file.loaded.entries] == [1]
        assert file.failure is not None
        file.append(to_record(verdict(2), 0))
        file.compact([to_record(verdict(key), 0) for key in (1, 2)], [], next_key=3)
        wait_until(lambda: file.counters["write_errors"] == 2)
    wait_until(lambda: file.wants_compaction)
    file.compact([to_record(verdict(key), 0) for key in (1, 2)], [], next_key=3)
    wait_until(lambda: file.failure is None)
    file.close()
    assert read(tmp_path) == ([1, 2], (), 3, 0)


def test_a_process_that_never_had_room_closes_in_peace(tmp_path: Path) -> None:
    write(tmp_path, to_record(verdict(1), 0))
    with full_disk():
        OutboxFile(tmp_path).close()
    assert read(tmp_path)[0] == [1]


def test_what_lies_beside_it_is_synced_by_its_thread(tmp_path: Path) -> None:
    file = OutboxFile(tmp_path)
    threads: list[str] = []
    file.sync_beside(lambda: threads.append(threading.current_thread().name))
    wait_until(lambda: bool(threads))
    file.close()
    assert threads == ["outbox-sync"]
