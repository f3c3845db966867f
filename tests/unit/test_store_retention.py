"""Retention deletes the oldest, as little as is needed, and never what is being recorded."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import StoreError
from inspector.store.layout import SessionInfo, session_folders
from inspector.store.retention import Plan, StoredFile, StoredSession, apply, choose, enforce, survey
from inspector.store.session import SessionWriter

INFO = SessionInfo(run_id="r", config_sha256="", model_sha256="", versions={}, arbiter_setup={})


def session(name: str, other: int, frames: list[int], *, running: bool = False) -> StoredSession:
    path = Path(name)
    files = tuple(StoredFile(path / f"frames-{n:03d}.mcap", size) for n, size in enumerate(frames))
    return StoredSession(path, running, other, files)


@st.composite
def stores(draw: st.DrawFn) -> list[StoredSession]:
    sizes = st.integers(0, 100)
    return [
        session(f"s{n:02d}", draw(sizes), draw(st.lists(sizes, max_size=4)), running=draw(st.booleans()))
        for n in range(draw(st.integers(0, 6)))
    ]


def left(sessions: list[StoredSession], plan: Plan) -> int:
    return sum(
        s.other_bytes + sum(f.size_bytes for f in s.frames if f.path not in plan.frames)
        for s in sessions
        if s.path not in plan.sessions
    )


@given(stores(), st.integers(0, 500), st.integers(0, 200), st.integers(0, 200))
def test_limits_are_kept_or_the_shortage_is_said(
    sessions: list[StoredSession], max_bytes: int, free: int, min_free: int
) -> None:
    plan = choose(sessions, max_bytes=max_bytes, free_bytes=free, min_free_bytes=min_free)
    total = sum(s.size_bytes for s in sessions)
    assert plan.freed_bytes == total - left(sessions, plan)
    assert left(sessions, plan) <= max_bytes + plan.short_bytes
    assert free + plan.freed_bytes + plan.short_bytes >= min_free
    if plan.short_bytes:  # then everything that may go is gone
        assert set(plan.sessions) == {s.path for s in sessions if not s.running}
        running = [f.path for s in sessions if s.running for f in s.frames]
        assert set(plan.frames) == set(running)
    if total <= max_bytes and free >= min_free:
        assert plan == Plan((), (), 0, 0)


@given(stores(), st.integers(0, 500))
def test_running_sessions_stay_and_the_oldest_go_first(sessions: list[StoredSession], max_bytes: int) -> None:
    plan = choose(sessions, max_bytes=max_bytes, free_bytes=1, min_free_bytes=0)
    finished = [s.path for s in sessions if not s.running]
    assert list(plan.sessions) == finished[: len(plan.sessions)]
    pixels = [f.path for s in sessions if s.path not in plan.sessions for f in s.frames]
    assert list(plan.frames) == pixels[: len(plan.frames)]


@given(stores(), st.integers(0, 500))
def test_deleting_twice_is_deleting_once(sessions: list[StoredSession], max_bytes: int) -> None:
    plan = choose(sessions, max_bytes=max_bytes, free_bytes=1, min_free_bytes=0)
    after = [
        StoredSession(
            s.path, s.running, s.other_bytes, tuple(f for f in s.frames if f.path not in plan.frames)
        )
        for s in sessions
        if s.path not in plan.sessions
    ]
    again = choose(after, max_bytes=max_bytes, free_bytes=1, min_free_bytes=0)
    assert again == Plan((), (), 0, plan.short_bytes)


def test_old_pixels_go_before_any_journal() -> None:
    store = [session("a", 5, [50, 50]), session("b", 5, [50, 50], running=True)]
    plan = choose(store, max_bytes=80, free_bytes=1, min_free_bytes=0)
    assert plan.sessions == ()
    assert [str(p) for p in plan.frames] == [
        "a/frames-000.mcap",
        "a/frames-001.mcap",
        "b/frames-000.mcap",
    ]


def test_old_sessions_go_when_messages_fill_the_half() -> None:
    store = [session("a", 40, [10]), session("b", 40, [10]), session("c", 1, [10], running=True)]
    plan = choose(store, max_bytes=100, free_bytes=1, min_free_bytes=0)
    assert plan.sessions == (Path("a"),)
    assert plan.frames == ()


def make_session(directory: Path, run_id: str, frame_files: int) -> SessionWriter:
    info = SessionInfo(run_id=run_id, config_sha256="", model_sha256="", versions={}, arbiter_setup={})
    writer = SessionWriter(directory, info)
    for number in range(frame_files):
        (writer.path / f"frames-{number:03d}.mcap").write_bytes(bytes(100_000))
    return writer


def test_on_disk(tmp_path: Path) -> None:
    foreign = tmp_path / "holiday-pictures"
    foreign.mkdir()
    (foreign / "big.bin").write_bytes(bytes(1_000_000))
    old = make_session(tmp_path, "1", 2)
    old.close()
    running = make_session(tmp_path, "2", 3)
    plan = enforce(tmp_path, max_bytes=250_000, min_free_bytes=0)
    assert plan.short_bytes == 0
    assert old.path.is_dir()
    assert sorted(p.name for p in running.path.glob("frames-*")) == [
        "frames-001.mcap",
        "frames-002.mcap",
    ]
    assert foreign.is_dir()
    plan = enforce(tmp_path, max_bytes=1000, min_free_bytes=0)
    assert plan.short_bytes > 0
    assert session_folders(tmp_path) == (running.path,)
    assert [p.name for p in running.path.glob("frames-*")] == ["frames-002.mcap"]
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([foreign.name, running.path.name])
    running.close()


def test_session_that_began_to_run_after_the_survey_is_spared(tmp_path: Path) -> None:
    make_session(tmp_path, "1", 0).close()
    doomed = Plan(tuple(s.path for s in survey(tmp_path)), (), 0, 0)
    running = make_session(tmp_path, "1", 0)
    apply(tmp_path, doomed)
    assert running.path.is_dir()
    running.close()


def test_interrupted_deletion_is_finished_and_never_listed(tmp_path: Path) -> None:
    writer = make_session(tmp_path, "1", 1)
    writer.close()
    writer.path.rename(tmp_path / f".deleting-{writer.path.name}")
    assert survey(tmp_path) == ()
    enforce(tmp_path, max_bytes=1 << 30, min_free_bytes=0)
    assert list(tmp_path.iterdir()) == []


def test_missing_directory_is_a_store_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        enforce(tmp_path / "none", max_bytes=1, min_free_bytes=0)
