"""What to delete when sessions outgrow their limit or the disk runs short.

`choose` is pure; `survey` and `apply` are its edge to the disk. The order:

1. Where messages (journal, verdicts) fill more than half of the limit, whole finished sessions,
   oldest first.
2. Pixels go next, oldest first, also the closed pixel files of the running session: they are
   nearly all of the bytes, and a replay does not need them.
3. Whole finished sessions, oldest first.

The running session itself is never deleted, nor is a file that is being written.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspector.store.layout import is_running, segments, session_folders, store_error

_DOOMED = ".deleting-"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A closed file with pixels."""

    path: Path
    size_bytes: int


@dataclass(frozen=True, slots=True)
class StoredSession:
    """What retention needs to know of a session. `frames` are closed pixel files, oldest first.

    `other_bytes` is everything else in the folder; what is being written counts there.
    """

    path: Path
    running: bool
    other_bytes: int
    frames: tuple[StoredFile, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes of the whole session."""
        return self.other_bytes + sum(file.size_bytes for file in self.frames)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to delete, in order. `short_bytes` is what is still over the limit after that."""

    sessions: tuple[Path, ...]
    frames: tuple[Path, ...]
    freed_bytes: int
    short_bytes: int


def choose(
    sessions: Sequence[StoredSession], *, max_bytes: int, free_bytes: int, min_free_bytes: int
) -> Plan:
    """Choose what goes so that at most `max_bytes` stay and at least `min_free_bytes` are free.

    `sessions` come oldest first; `free_bytes` is what the disk has free now.
    """
    total = sum(session.size_bytes for session in sessions)
    need = max(total - max_bytes, min_free_bytes - free_bytes, 0)
    messages = sum(session.other_bytes for session in sessions)
    kept = list(sessions)
    gone: list[Path] = []
    frames: list[Path] = []
    freed = 0

    def drop_oldest() -> bool:
        nonlocal freed, messages
        oldest = next((session for session in kept if not session.running), None)
        if oldest is None:
            return False
        kept.remove(oldest)
        gone.append(oldest.path)
        # Pixels of this session that were already chosen have been counted.
        freed += oldest.other_bytes
        freed += sum(f.size_bytes for f in oldest.frames if f.path not in frames)
        messages -= oldest.other_bytes
        return True

    while freed < need and messages > max_bytes // 2 and drop_oldest():
        continue
    for file in (file for session in kept for file in session.frames):
        if freed >= need:
            break
        frames.append(file.path)
        freed += file.size_bytes
    while freed < need and drop_oldest():
        continue
    within = tuple(path for path in frames if path.parent not in gone)
    return Plan(tuple(gone), within, freed, max(need - freed, 0))


def survey(directory: Path) -> tuple[StoredSession, ...]:
    """Look at the sessions in `directory`, oldest first. Raises StoreError."""
    try:
        return tuple(_survey_session(session) for session in session_folders(directory))
    except OSError as exc:
        raise store_error(directory, exc) from exc


def apply(directory: Path, plan: Plan) -> None:
    """Delete what the plan names, and what an earlier, interrupted call left. Raises StoreError."""
    try:
        for path in plan.frames:
            path.unlink(missing_ok=True)
        for session in plan.sessions:
            if session.is_dir() and not is_running(session):
                # Renamed first, so that a session is never seen half deleted.
                session.rename(session.with_name(_DOOMED + session.name))
        for doomed in directory.glob(_DOOMED + "*"):
            shutil.rmtree(doomed)
    except OSError as exc:
        raise store_error(directory, exc) from exc


def enforce(directory: Path, *, max_bytes: int, min_free_bytes: int) -> Plan:
    """Survey, choose and delete. Raises StoreError.

    A plan with `short_bytes` left means that even so there is too much: warn, and record less.
    """
    sessions = survey(directory)
    try:
        free_bytes = shutil.disk_usage(directory).free
    except OSError as exc:
        raise store_error(directory, exc) from exc
    plan = choose(sessions, max_bytes=max_bytes, free_bytes=free_bytes, min_free_bytes=min_free_bytes)
    apply(directory, plan)
    return plan


def _survey_session(session: Path) -> StoredSession:
    running = is_running(session)
    frames = [s.path for s in segments(session) if s.frames]
    closed = frames[:-1] if running else frames
    sizes = {path: path.stat().st_size for path in session.rglob("*") if path.is_file()}
    return StoredSession(
        path=session,
        running=running,
        other_bytes=sum(size for path, size in sizes.items() if path not in closed),
        frames=tuple(StoredFile(path, sizes[path]) for path in closed),
    )
