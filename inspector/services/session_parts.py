"""Pictures of good parts from a recorded session, for teach-in."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from inspector.detect.engines.prepare import prepare
from inspector.detect.model.manifest import InputLayout
from inspector.errors import ConfigError, DataError, StoreError
from inspector.services.labels import read_labels
from inspector.store.reader import SessionReader
from inspector.topics import DELIVERIES, VERDICTS
from inspector.types import (
    Action,
    Decision,
    DeliveryState,
    Frame,
    FrameResult,
    ReasonCode,
    ResultStatus,
    VerdictRecord,
)

LABELS = "labels.csv"


def write_good_parts(
    session: SessionReader,
    folder: Path,
    *,
    camera_id: str | None = None,
    layout: InputLayout | None = None,
    most: int = 100,
    progress: Callable[[str, int, int], None] = lambda _what, _done, _total: None,
) -> int:
    """Write the pictures of at most `most` good parts, evenly over the session, as PNG into `folder`.

    Good is a part that was passed with confidence, with all its evidence (never one that was held or
    unsure), whose verdict the PLC acknowledged where it acknowledges at all, and which the session's
    labels.csv, where there is one, says to be good. `layout` is what the model takes; None: grey for a
    grey camera, else colour. Returns how many were written. Raises ConfigError when there are none.
    """
    results = [result for result in good_results(session) if camera_id in (None, result.camera_id)]
    cameras = sorted({result.camera_id for result in results})
    if not results:
        where = f" of camera {camera_id}" if camera_id else ""
        raise ConfigError(f"{session.path}: no part{where} was passed with confidence and all its evidence")
    if len(cameras) > 1:
        raise ConfigError(f"{session.path}: has the cameras {', '.join(cameras)}; choose one with --camera")
    if len(results) > most:
        results = [results[index * len(results) // most] for index in range(most)]
    written = 0
    for done, result in enumerate(results):
        progress("Taking good parts", done, len(results))
        frame = session.frame(result.camera_id, result.frame_id, result.received_ns)
        if frame is not None and frame.meta.missing_packets == 0:
            _write(folder / f"{written:06}.png", frame, layout)
            written += 1
    progress("Taking good parts", len(results), len(results))
    if not written:
        raise ConfigError(
            f"{session.path}: has no pictures of its {len(results)} good parts; record with `frames: all` "
            "under recorder"
        )
    return written


def good_results(session: SessionReader) -> list[FrameResult]:
    """What the detector said of each picture of each good part, in the order of the verdicts."""
    records = {record.verdict.verdict_id: record for record in session.messages(VERDICTS)}
    acknowledged = {
        delivery.verdict_id
        for delivery in session.messages(DELIVERIES)
        if delivery.state is DeliveryState.ACKNOWLEDGED
    }
    path = session.path / LABELS
    labels = read_labels(path) if path.is_file() else None
    good = []
    for record in records.values():
        verdict = record.verdict
        if not _surely_passed(record) or (acknowledged and verdict.verdict_id not in acknowledged):
            continue
        if labels is not None and labels.get(verdict.part_id) is not False:
            continue
        good += [result for result in record.evidence.results if result.status is ResultStatus.OK]
    return good


def _surely_passed(record: VerdictRecord) -> bool:
    verdict = record.verdict
    return (
        bool(verdict.part_id)
        and verdict.decision is Decision.CONFIRMED_ACTION
        and verdict.action is Action.PASS
        and verdict.reason_code is ReasonCode.GOOD
        and not (verdict.failsafe or verdict.missing or record.evidence.missing)
    )


def _write(path: Path, frame: Frame, layout: InputLayout | None) -> None:
    meta = frame.meta
    if layout is None:
        layout = InputLayout(
            width_px=meta.width_px,
            height_px=meta.height_px,
            pixel_format="Mono8" if meta.pixel_format == "Mono8" else "RGB8",
        )
    try:
        pixels = prepare(frame, layout)[0]
    except DataError as error:
        raise ConfigError(f"camera {meta.camera_id}: {error}") from error
    shown = pixels[..., 0] if layout.channels == 1 else np.ascontiguousarray(pixels[..., ::-1])
    if not cv2.imwrite(str(path), shown, [cv2.IMWRITE_PNG_COMPRESSION, 1]):
        raise StoreError(f"{path}: cannot be written")
