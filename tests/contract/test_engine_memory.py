"""An engine's memory stays flat, however many frames go through it."""

import gc
import threading
from pathlib import Path

import psutil
from tiny_model import tiny_frame, write_tiny_model

from inspector.config import DetectorConfig
from inspector.detect.engine import Engine
from inspector.detect.load import load_detector
from inspector.types import ResultStatus

WARM, FRAMES = 1000, 6000
WAIT_S = 30.0
# Bytes, in a process that other tests have used too. A leaked frame is 5 KB: 30 MB in all.
LARGEST_GROWTH = 12_000_000


def put_through(engine: Engine, woken: threading.Event, count: int) -> int:
    """Feed `count` frames, each with memory of its own, some refused or cancelled; returns the results."""
    collected = submitted = 0
    while collected < count:
        woken.clear()
        for _, result in engine.collect():
            assert result.status is not ResultStatus.ENGINE_ERROR
            collected += 1
        while submitted < count and engine.free_slots:
            ticket = engine.submit(tiny_frame(submitted, missing=int(submitted % 50 == 0)))
            if submitted % 70 == 0:
                engine.cancel(ticket)
            submitted += 1
        if collected < submitted:
            assert woken.wait(WAIT_S)
    return collected


def held_bytes() -> int:
    gc.collect()
    return int(psutil.Process().memory_full_info().uss)


def test_thousands_of_frames_leave_nothing_behind(tmp_path: Path) -> None:
    write_tiny_model(tmp_path / "tiny")
    woken = threading.Event()
    config = DetectorConfig(model="tiny", threads=1, requests_in_flight=3)
    engine = load_detector(config, tmp_path, on_ready=woken.set, cache_dir=tmp_path / "cache")
    try:
        put_through(engine, woken, WARM)
        before = held_bytes()
        assert put_through(engine, woken, FRAMES) == FRAMES
        growth = held_bytes() - before
        assert engine.counts.inside == 0
        assert growth < LARGEST_GROWTH, f"{growth / FRAMES:.0f} bytes a frame"
    finally:
        engine.close()
