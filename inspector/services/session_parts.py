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
    FrameMeta,
    FrameResult,
    ReasonCode,
    ResultStatus,
    VerdictRecord,
)

LABELS = "labels.csv"

_Picture = tuple[str, int, int]
"""camera_id, frame_id, received_ns: what `SessionReader.frame` finds a frame by."""


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
    grey camera, else colour. In a session that `was_never_judged` every complete picture counts. Returns
    how many were written. Raises ConfigError when there are none.
    """
    pictures = _good_pictures(session, camera_id, progress)
    if len(pictures) > most:
        pictures = [pictures[index * len(pictures) // most] for index in range(most)]
    written = 0
    for done, picture in enumerate(pictures):
        progress("Taking good parts", done, len(pictures))
        frame = session.frame(*picture)
        if frame is not None:  # retention may have taken it just now
            _write(folder / f"{written:06}.png", frame, layout)
            written += 1
    progress("Taking good parts", len(pictures), len(pictures))
    return written


def was_never_judged(session: SessionReader) -> bool:
    """Whether it is one of `inspector camera record`: pictures that no model has seen, and no verdict."""
    return not session.meta.info.model_sha256 and next(session.payloads(VERDICTS), None) is None


def _good_pictures(
    session: SessionReader, camera_id: str | None, progress: Callable[[str, int, int], None]
) -> list[_Picture]:
    """The pictures of good parts that are complete and still there, of one camera, in their order."""
    never_judged = was_never_judged(session)
    good = [] if never_judged else [_picture(result) for result in good_results(session)]
    good = [picture for picture in good if camera_id in (None, picture[0])]
    where = f" of camera {camera_id}" if camera_id else ""
    if not good and not never_judged:
        raise ConfigError(f"{session.path}: no part{where} was passed with confidence and all its evidence")
    _one_camera(session, good)
    # Retention takes old pixels first: what is left is spread over, not what was there.
    kept = _kept_pictures(session, camera_id, progress)
    if never_judged:
        _one_camera(session, kept)
        if not kept:
            raise ConfigError(f"{session.path}: has no complete picture{where}")
        return kept
    there = set(kept)
    found = [picture for picture in good if picture in there]
    if not found:
        raise ConfigError(
            f"{session.path}: has no pictures of its {len(good)} good parts; record with `frames: all` "
            "under recorder"
        )
    return found


def _kept_pictures(
    session: SessionReader, camera_id: str | None, progress: Callable[[str, int, int], None]
) -> list[_Picture]:
    total = session.frame_bytes >> 20

    def show(read_bytes: int) -> None:
        progress("Looking for pictures (MiB)", min(read_bytes >> 20, total), total)

    metas = session.frame_metas(camera_id, show)
    return [_picture(meta) for meta in metas if meta.missing_packets == 0]


def _picture(of: FrameMeta | FrameResult) -> _Picture:
    return of.camera_id, of.frame_id, of.received_ns


def _one_camera(session: SessionReader, pictures: list[_Picture]) -> None:
    cameras = sorted({picture[0] for picture in pictures})
    if len(cameras) > 1:
        raise ConfigError(f"{session.path}: has the cameras {', '.join(cameras)}; choose one with --camera")


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
