"""The recorder service: everything to disk. When the disk fails it degrades; no verdict waits for it."""

import contextlib
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

from inspector.bus import Subscriber
from inspector.clock import NS_PER_S
from inspector.config import Site
from inspector.errors import ConfigError
from inspector.services.loop import Context
from inspector.services.setup import arbiter_setup
from inspector.store.layout import RESULTS_NAME, SessionInfo, read_meta, session_folders
from inspector.store.results import ResultWriter
from inspector.store.retention import enforce
from inspector.store.session import RECORDED, SessionWriter
from inspector.strict_data import to_json_lines, to_plain
from inspector.topics import JOURNAL_TAKEN, VERDICTS
from inspector.types import (
    Action,
    Delivery,
    Explanation,
    Fault,
    Frame,
    JournalEntry,
    JournalTaken,
    VerdictRecord,
)

_PACKAGES = ("inspector-cell", "openvino", "harvesters", "iceoryx2", "paho-mqtt", "numpy")
_COMMIT_NS = NS_PER_S
_RETENTION_NS = 60 * NS_PER_S
_RESULTS_SHARE = 10  # results.db may take a tenth of what the sessions may
_MIN_FREE_BYTES = 1 << 30
_TABLED = (VerdictRecord, Explanation, Delivery, Fault)


class RecorderService:
    """Bus in, session and results database out."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._config = context.site.site.recorder
        # Subscribed before anything slow, so that nothing of the start is missed.
        self._topics: list[tuple[str, Subscriber[Any]]] = [
            (name, context.bus.subscriber(topic)) for name, topic in RECORDED.items()
        ]
        self._taken = context.bus.publisher(JOURNAL_TAKEN)
        cameras = context.site.cameras if self._config.frames != "none" else ()
        self._frames = [context.bus.frame_subscriber(camera.id) for camera in cameras]
        self._held = _HeldFrames() if self._config.frames == "not_passed" else None
        self._directory = context.site.root / self._config.directory
        self._session = SessionWriter(
            self._directory, _info(context), _files(context.site), clock=context.clock
        )
        self._results = ResultWriter(
            self._directory / RESULTS_NAME, self._session.path.name, self._session.meta.utc_offset_ns
        )
        self._next_commit_ns = 0
        self._next_retention_ns = 0

    def step(self) -> int | None:
        journaled: JournalEntry | None = None
        for frames in self._frames:
            for frame in frames.drain():
                for kept in [frame] if self._held is None else self._held.add(frame):
                    self._session.write_frame(kept)
        for name, subscriber in self._topics:
            for message in subscriber.drain():
                self._record(name, message)
                if isinstance(message, JournalEntry):
                    journaled = message
        if journaled is not None:
            self._taken.send(JournalTaken(epoch=journaled.epoch, seq=journaled.seq))
        self._housekeeping()
        self._report()
        return None

    def close(self) -> None:
        with contextlib.closing(self._session), contextlib.closing(self._results):
            for frame in self._held.rest() if self._held is not None else ():
                self._session.write_frame(frame)

    def _record(self, name: str, message: Any) -> None:
        self._session.write(name, message, self._context.clock.now_ns())
        if isinstance(message, _TABLED):
            self._results.add(message)
        if self._held is not None and name == VERDICTS.name:
            for frame in self._held.decided(message):
                self._session.write_frame(frame)

    def _housekeeping(self) -> None:
        now_ns = self._context.clock.now_ns()
        if now_ns >= self._next_commit_ns:
            self._next_commit_ns = now_ns + _COMMIT_NS
            self._results.commit()
        if now_ns >= self._next_retention_ns:
            self._next_retention_ns = now_ns + _RETENTION_NS
            max_bytes = int(self._config.max_gib * (1 << 30))
            self._results.trim(max_bytes // _RESULTS_SHARE)
            plan = enforce(self._directory, max_bytes=max_bytes, min_free_bytes=_MIN_FREE_BYTES)
            if plan.short_bytes:
                self._context.fault(
                    "DISK_SHORT", f"{self._directory}: the disk runs short and no session can be deleted"
                )

    def _report(self) -> None:
        self._context.degraded = self._session.failure
        counters = self._context.counters
        counters["lost"] = self._session.lost + self._results.lost
        counters["messages_dropped"] = sum(subscriber.dropped for _, subscriber in self._topics)
        counters["frames_dropped"] = sum(frames.dropped for frames in self._frames)


class _HeldFrames:
    """Copies of the latest frames, until a verdict passes their part; all others are kept.

    So a frame of which nothing came, neither result nor verdict, is kept too.
    """

    _MOST = 32

    def __init__(self) -> None:
        self._frames: dict[tuple[str, int], Frame] = {}

    def add(self, frame: Frame) -> list[Frame]:
        """Hold a frame; return those that no verdict has claimed for so long that they are kept."""
        # A copy, because holding many frames would hold up shared memory.
        self._frames[frame.meta.camera_id, frame.meta.frame_id] = Frame(frame.meta, frame.image.copy())
        surplus = list(self._frames)[: -self._MOST]
        return [self._frames.pop(key) for key in surplus]

    def decided(self, record: VerdictRecord) -> list[Frame]:
        """Let go of a part's frames; return them unless it passed."""
        keys = [(result.camera_id, result.frame_id) for result in record.evidence.results]
        frames = [self._frames.pop(key) for key in keys if key in self._frames]
        return [] if record.verdict.action is Action.PASS else frames

    def rest(self) -> list[Frame]:
        """Return what is still held, at the end."""
        frames = list(self._frames.values())
        self._frames.clear()
        return frames


def make(context: Context, argument: str) -> RecorderService:
    del argument
    return RecorderService(context)


def _info(context: Context) -> SessionInfo:
    setup = arbiter_setup(context.site)
    return SessionInfo(
        run_id=run_id(context.domain, os.getppid()),
        config_sha256=setup.config_sha256,
        model_sha256=setup.model_sha256,
        versions={name: version(name) for name in _PACKAGES},
        arbiter_setup=to_plain(setup),
    )


def run_id(domain: str, supervisor: int) -> str:
    """Name a run of the cell: the supervisor's process, told apart from a later one of that number.

    `domain` is the shared memory's, which for a cell is that number too.
    """
    return f"{domain}-{psutil.Process(supervisor).create_time():.2f}"


def sessions_of_run(directory: Path, supervisor: int) -> tuple[Path, ...]:
    """Return the sessions of the run whose supervisor is, or was, this process; the oldest first."""
    ours = run_id(str(supervisor), supervisor)
    return tuple(folder for folder in session_folders(directory) if _run_of(folder) == ours)


def _run_of(session: Path) -> str:
    try:
        return read_meta(session).info.run_id
    except ConfigError:
        return ""  # of another version, or damaged: not of a run that goes on


def _files(site: Site) -> dict[str, str]:
    """The configuration as it was understood; it holds no secret."""
    files = {"site.json": to_json_lines(site.site)}
    return files | {f"{camera.id}.json": to_json_lines(camera) for camera in site.cameras}
