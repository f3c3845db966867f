"""A session's pictures through a model again."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from inspector.config import DetectorConfig
from inspector.detect.engine import Engine
from inspector.detect.load import load_detector
from inspector.errors import DataError
from inspector.store.decide_again import ResultKey, key_of
from inspector.store.reader import SessionReader
from inspector.types import FrameResult

_POLL_S = 0.001


def infer_again(
    reader: SessionReader, model: str, models_dir: Path, on_frame: Callable[[], None] = lambda: None
) -> dict[ResultKey, FrameResult]:
    """Run every kept frame of a session through `model` (a name under `models_dir`, or a folder).

    Returns the results by frame. Raises DataError when the session has no pixels, ConfigError or
    ModelError when the model cannot be used.
    """
    engine = load_detector(DetectorConfig(model=model), models_dir)
    try:
        results = {key_of(result): result for result in _results(engine, reader, on_frame)}
    finally:
        engine.close()
    if not results:
        raise DataError(
            f"{reader.path}: has no pixels to show the model; record with `frames: all` under recorder"
        )
    return results


def _results(engine: Engine, reader: SessionReader, on_frame: Callable[[], None]) -> Iterator[FrameResult]:
    for frame in reader.frames():
        while not engine.free_slots:
            yield from _collected(engine)
        engine.submit(frame)
        on_frame()
    while engine.counts.inside:
        yield from _collected(engine)
    yield from _collected(engine)


def _collected(engine: Engine) -> Iterator[FrameResult]:
    ready = engine.collect()
    if not ready:
        time.sleep(_POLL_S)
    for _, result in ready:
        yield result
