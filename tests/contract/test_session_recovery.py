"""What a crash, a power cut, a damaged file or a full disk leaves of a session."""

import contextlib
import os
import random
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inspector.clock import NS_PER_S
from inspector.errors import DataError, StoreError
from inspector.store.layout import SessionInfo, is_running, segments
from inspector.store.reader import SessionReader
from inspector.store.session import SessionWriter
from inspector.topics import JOURNAL
from inspector.types import Frame, FrameMeta, JournalEntry

INFO = SessionInfo(run_id="r", config_sha256="", model_sha256="", versions={}, arbiter_setup={})

WRITER = """
import sys
from pathlib import Path
import numpy as np
from inspector.store.layout import SessionInfo
from inspector.store.session import SessionWriter
from inspector.types import Frame, FrameMeta, JournalEntry
info = SessionInfo(run_id="r", config_sha256="", model_sha256="", versions={}, arbiter_setup={})
writer = SessionWriter(Path(sys.argv[1]), info, frame_reserve_bytes=0, sync_every_s=60)
image = np.full((48, 64), 7, np.uint8)
for seq in range(1, 1_000_000):
    writer.write("journal", JournalEntry(seq=seq, epoch="e", now_ns=seq), seq)
    meta = FrameMeta(camera_id="cam1", frame_id=seq, exposure_start_ns=seq, exposure_us=1.0,
                     received_ns=seq, width_px=64, height_px=48, pixel_format="Mono8")
    writer.write_frame(Frame(meta, image))
    if seq % 20 == 0:
        writer.flush()
        print(seq, flush=True)
"""


class Clock:
    def __init__(self) -> None:
        self.monotonic_ns = 10 * NS_PER_S

    def now_ns(self) -> int:
        return self.monotonic_ns

    def utc_ns(self) -> int:
        return self.monotonic_ns


def frame(number: int) -> Frame:
    meta = FrameMeta(
        camera_id="cam1",
        frame_id=number,
        exposure_start_ns=number,
        exposure_us=1.0,
        received_ns=number,
        width_px=64,
        height_px=48,
        pixel_format="Mono8",
    )
    return Frame(meta, np.full((48, 64), number % 256, np.uint8))


def journal(session: Path) -> list[int]:
    return [entry.seq for entry in SessionReader(session).messages(JOURNAL)]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[tuple[int, int]]]:
    """A session of one message file, and (size on disk, last entry) after each flush."""
    marks = []
    with SessionWriter(tmp_path_factory.mktemp("store"), INFO, clock=Clock()) as writer:
        for seq in range(1, 201):
            writer.write("journal", JournalEntry(seq=seq, epoch="e", now_ns=seq), seq)
            if seq % 10 == 0:
                writer.flush()
                marks.append((segments(writer.path)[0].path.stat().st_size, seq))
    return writer.path, marks


def test_cut_anywhere_gives_all_whole_chunks(recorded: tuple[Path, list[tuple[int, int]]]) -> None:
    session, marks = recorded
    file = segments(session)[0].path
    whole = file.read_bytes()
    edges = [size + shift for size, _ in marks for shift in (-9, -1, 0, 1)]
    sampled = random.Random(4).sample(range(len(whole)), 150)
    try:
        for size in sorted({0, 1, 7, 8, 9, 40, len(whole) - 1, *edges, *sampled}):
            file.write_bytes(whole[:size])
            reader = SessionReader(session)
            got = [entry.seq for entry in reader.messages(JOURNAL)]
            safe = max((seq for mark, seq in marks if mark <= size), default=0)
            assert got == list(range(1, len(got) + 1))
            assert len(got) >= safe
            assert not reader.complete
            (warning,) = reader.warnings
            assert "cut off" in warning
            assert "\n" not in warning
    finally:
        file.write_bytes(whole)


def test_damaged_byte_loses_its_chunk_alone(recorded: tuple[Path, list[tuple[int, int]]]) -> None:
    session, marks = recorded
    file = segments(session)[0].path
    whole = file.read_bytes()
    (size_before, seq_before), (size_after, seq_after) = marks[4], marks[5]
    try:
        # Between the two marks lie one chunk and its index; the chunk is the most of it.
        damaged = bytearray(whole)
        damaged[(size_before + size_after) // 2 - 20] ^= 0x5A
        file.write_bytes(damaged)
        reader = SessionReader(session)
        got = [entry.seq for entry in reader.messages(JOURNAL)]
        assert got == [*range(1, seq_before + 1), *range(seq_after + 1, 201)]
        (warning,) = reader.warnings
        assert "damaged record is left out" in warning
    finally:
        file.write_bytes(whole)


def test_damage_anywhere_never_gives_a_wrong_message(
    recorded: tuple[Path, list[tuple[int, int]]],
) -> None:
    session, _ = recorded
    file = segments(session)[0].path
    whole = file.read_bytes()
    rng = random.Random(5)
    try:
        for _ in range(150):
            damaged = bytearray(whole)
            at = rng.randrange(8, len(whole))
            damaged[at : at + rng.choice((1, 8, 500))] = rng.randbytes(1) * rng.choice((1, 8, 500))
            file.write_bytes(damaged)
            reader = SessionReader(session)
            got = [entry.seq for entry in reader.messages(JOURNAL)]
            assert got == sorted(set(got))
            assert set(got) <= set(range(1, 201))
            assert len(got) == 200 or reader.warnings
    finally:
        file.write_bytes(whole)


def test_zeros_after_a_power_cut_are_said_and_not_read(
    recorded: tuple[Path, list[tuple[int, int]]],
) -> None:
    session, marks = recorded
    file = segments(session)[0].path
    whole = file.read_bytes()
    size, seq = marks[9]
    try:
        file.write_bytes(whole[:size] + bytes(len(whole) - size))
        reader = SessionReader(session)
        assert [e.seq for e in reader.messages(JOURNAL)] == list(range(1, seq + 1))
        assert any("no record here" in warning for warning in reader.warnings)
    finally:
        file.write_bytes(whole)


def test_file_that_is_no_mcap_is_a_data_error(tmp_path: Path) -> None:
    with SessionWriter(tmp_path, INFO, clock=Clock()) as writer:
        pass
    (writer.path / "000.mcap").write_bytes(b"PNG, and much more than eight bytes")
    with pytest.raises(DataError, match="not an MCAP file"):
        journal(writer.path)


def test_killed_writer_loses_nothing_that_was_flushed_and_is_continued(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        flushed = [int(next(process.stdout)) for _ in range(10)][-1]
        process.send_signal(signal.SIGKILL)
    (session,) = tmp_path.iterdir()
    assert not is_running(session)
    reader = SessionReader(session)
    got = [entry.seq for entry in reader.messages(JOURNAL)]
    frames = [f.meta.frame_id for f in reader.frames()]
    assert got == list(range(1, len(got) + 1))
    assert frames == list(range(1, len(frames) + 1))
    assert len(got) >= flushed
    assert len(frames) >= flushed
    assert "cut off" in reader.warnings[0]
    with SessionWriter(tmp_path, INFO) as writer:
        assert writer.path == session
        writer.write("journal", JournalEntry(seq=1, epoch="f", now_ns=1), 1)
    assert journal(session) == [*got, 1]


def test_background_thread_puts_it_on_disk_without_a_call(tmp_path: Path) -> None:
    with SessionWriter(tmp_path, INFO, sync_every_s=0.01) as writer:
        writer.write("journal", JournalEntry(seq=1, epoch="e", now_ns=1), 1)
        while journal(writer.path) != [1]:
            os.sched_yield()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mount.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(writer: SessionWriter, count: int) -> str:
    """Write frames until one is refused, and say why; "" when all were taken."""
    for number in range(count):
        taken = writer.write_frame(frame(number))
        with contextlib.suppress(StoreError):
            writer.flush()
        if not taken or writer.failure:
            return writer.failure
    return ""


def test_full_disk_is_reported_and_writing_resumes_when_there_is_room(small_disk: Path) -> None:
    clock = Clock()
    with SessionWriter(small_disk, INFO, clock=clock, frame_reserve_bytes=0) as writer:
        assert "No space left on device; free space" in fill(writer, 2000)
        before = writer.lost
        assert before == 1
        assert not writer.write_frame(frame(1))
        assert writer.lost == before + 1
        kept = [f.meta.frame_id for f in SessionReader(writer.path).frames()]
        assert kept == list(range(len(kept)))
        assert len(kept) > 100
        os.truncate(next(s.path for s in segments(writer.path) if s.frames), 20_000)
        clock.monotonic_ns += 6 * NS_PER_S
        assert writer.write_frame(frame(4711))
        writer.flush()
        assert writer.failure == ""
    assert [f.meta.frame_id for f in SessionReader(writer.path).frames()][-1] == 4711


def test_frames_stop_before_the_journal_does(small_disk: Path) -> None:
    with SessionWriter(small_disk, INFO, clock=Clock(), frame_reserve_bytes=600_000) as writer:
        assert "frames are not recorded" in fill(writer, 2000)
        for seq in range(1, 100):
            assert writer.write("journal", JournalEntry(seq=seq, epoch="e", now_ns=seq), seq)
        writer.flush()
    assert journal(writer.path) == list(range(1, 100))


def test_refused_write_ends_in_a_new_file_not_in_half_a_record(tmp_path: Path) -> None:
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    clock = Clock()
    writer = SessionWriter(tmp_path, INFO, clock=clock, frame_reserve_bytes=0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
    try:
        assert "File too large" in fill(writer, 100)
        clock.monotonic_ns += 6 * NS_PER_S
        assert fill(writer, 5) == ""
        writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    first, second = (s.path for s in segments(writer.path) if s.frames)
    assert first.stat().st_size <= 100_000
    ids = [f.meta.frame_id for f in SessionReader(writer.path).frames()]
    assert ids[-5:] == [0, 1, 2, 3, 4]
    assert ids[:-5] == list(range(len(ids) - 5))
    assert second.exists()


def test_unusable_directory_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"recorder\.directory"):
        SessionWriter(tmp_path / "file", INFO)
    with pytest.raises(StoreError, match=r"recorder\.directory"):
        SessionWriter(Path("/proc/sessions"), INFO)
