"""What a session is on disk: a folder with `session.json`, `config/` and numbered MCAP segments.

    sessions/
      results.db                     verdicts of all sessions (`results`)
      2026-11-22T15-03-35Z/
        session.json                 `SessionMeta`
        config/site.yaml ...         the configuration files, as given
        000.mcap 001.mcap ...        journal, verdicts, results, health ...
        frames-000.mcap ...          pixels, apart because they are a hundred times as large
        lock                         held (flock) while a recorder writes here

Pixels have files of their own so that retention can drop old pixels and still keep the journal,
which a replay needs whole.
"""

import errno
import fcntl
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import msgspec

from inspector.clock import NS_PER_S
from inspector.errors import ConfigError, StoreError
from inspector.types import Message

META_NAME = "session.json"
CONFIG_NAME = "config"
LOCK_NAME = "lock"
RESULTS_NAME = "results.db"
FORMAT = "inspector-session"
VERSION = 1

_SEGMENT = re.compile(r"^(frames-)?(\d{3,})\.mcap$")


class SessionInfo(Message, frozen=True, kw_only=True):
    """What the recorder knows of the run. `arbiter_setup` goes to the decider of a replay as it is.

    A recorder that restarts within one run (same `run_id`, hashes and boot) continues its session.
    """

    run_id: str
    config_sha256: str
    model_sha256: str
    versions: dict[str, str]
    arbiter_setup: dict[str, Any]


class SessionMeta(Message, frozen=True, kw_only=True):
    """Contents of `session.json`. `utc_offset_ns` added to a monotonic time gives UTC.

    The offset is taken once, at the start, so that a step of the wall clock leaves no seam.
    """

    format: str = FORMAT
    version: int = VERSION
    started_utc: str
    started_utc_ns: int
    utc_offset_ns: int
    boot_id: str
    info: SessionInfo


class _Format(msgspec.Struct):
    """Enough to tell a session of another version from a file that is none."""

    format: str
    version: int


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """One MCAP file of a session."""

    path: Path
    number: int
    frames: bool


def utc_text(utc_ns: int) -> str:
    """Format as ISO 8601 in UTC with whole seconds, e.g. 2026-11-22T15:03:35Z."""
    return datetime.fromtimestamp(utc_ns // NS_PER_S, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def boot_id() -> str:
    """Return the kernel's id of this boot: CLOCK_MONOTONIC means nothing in another one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def read_meta(session: Path) -> SessionMeta:
    """Read `session.json`. Raises ConfigError if `session` is no session of this version."""
    path = session / META_NAME
    try:
        raw = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as exc:
        raise ConfigError(
            f"{session}: not a session (no {META_NAME}); `inspector sessions` lists them"
        ) from exc
    except OSError as exc:
        raise ConfigError(f"{path}: cannot be read: {exc.strerror}") from exc
    try:
        tag = msgspec.json.decode(raw, type=_Format)
        if tag.format == FORMAT and tag.version != VERSION:
            raise ConfigError(
                f"{session}: recorded in session format {tag.version}, this version reads "
                f"{VERSION}: use the inspector version that recorded it"
            )
        if tag.format != FORMAT:
            raise ConfigError(f"{session}: {META_NAME} is not that of a session")
        return msgspec.json.decode(raw, type=SessionMeta)
    except msgspec.DecodeError as exc:
        raise ConfigError(f"{path}: damaged: {exc}") from exc


def segments(session: Path) -> tuple[SegmentFile, ...]:
    """List the MCAP files of a session, messages first, each kind in the order written."""
    found = [
        SegmentFile(path, int(match[2]), match[1] is not None)
        for path in session.iterdir()
        if (match := _SEGMENT.match(path.name))
    ]
    return tuple(sorted(found, key=lambda s: (s.frames, s.number)))


def segment_name(number: int, *, frames: bool) -> str:
    """Name of the file of segment `number`."""
    return f"{'frames-' if frames else ''}{number:03d}.mcap"


def session_folders(directory: Path) -> tuple[Path, ...]:
    """List the sessions in `directory`, oldest first. Other folders are not ours and are left out."""
    if not directory.is_dir():
        return ()
    return tuple(
        sorted(
            path
            for path in directory.iterdir()
            if not path.name.startswith(".") and (path / META_NAME).is_file()
        )
    )


def lock_session(session: Path) -> IO[bytes]:
    """Take the session for writing until the returned file is closed or the process ends.

    Raises StoreError if another process has it.
    """
    file = (session / LOCK_NAME).open("ab")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        file.close()
        raise StoreError(f"{session}: another recorder is writing to it") from exc
    return file


def is_running(session: Path) -> bool:
    """Say whether a recorder has the session open now. The lock of a killed one is gone."""
    try:
        with (session / LOCK_NAME).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def write_durably(path: Path, data: bytes) -> None:
    """Write a whole file so that after a power cut it is there complete or not at all."""
    draft = path.with_name(path.name + ".new")
    with draft.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in `folder` survive a power cut."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def store_error(path: Path, exc: OSError) -> StoreError:
    """Say in one line what the disk refused, and what to do."""
    advice = {
        errno.ENOSPC: "free space on that disk, or lower recorder.max_gib",
        errno.EDQUOT: "raise the disk quota, or lower recorder.max_gib",
        errno.EACCES: "give the recorder write access, or change recorder.directory",
        errno.EPERM: "give the recorder write access, or change recorder.directory",
        errno.EROFS: "mount it writable, or change recorder.directory",
        errno.EIO: "check the disk",
    }.get(exc.errno or 0, "check recorder.directory")
    return StoreError(f"{path}: {exc.strerror or exc}; {advice}")
