"""What the recorder keeps, with real shared memory on one side and a real session on the other."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from inspector.bus import Bus, FramePublisher, sweep
from inspector.clock import SystemClock
from inspector.config_load import load_site
from inspector.metrics import Metrics
from inspector.services.demo_site import DemoChoices, write_site
from inspector.services.loop import Context
from inspector.services.recorder import RecorderService
from inspector.store.reader import SessionReader
from inspector.topics import VERDICTS
from inspector.types import (
    Action,
    Decision,
    Fault,
    FrameMeta,
    FrameResult,
    PartEvidence,
    ReasonCode,
    ResultStatus,
    Verdict,
    VerdictRecord,
)

SIZE = (4, 3)


@pytest.fixture
def bus() -> Iterator[Bus]:
    domain = str(os.getpid())
    with Bus(domain, "here") as bus:
        yield bus
    sweep(domain)


def site_file(folder: Path, frames: str) -> Path:
    path = write_site(folder, DemoChoices("127.0.0.1", 1, "127.0.0.1", folder / "sessions", "none", None))
    site = yaml.safe_load(path.read_text())
    site["recorder"]["frames"] = frames
    path.write_text(yaml.safe_dump(site))
    return path


def send(frames: FramePublisher, camera_id: str, frame_id: int) -> None:
    width, height = SIZE
    slot = frames.loan(width * height)
    slot.pixels[:] = frame_id
    slot.send(
        FrameMeta(
            camera_id=camera_id,
            frame_id=frame_id,
            exposure_start_ns=frame_id,
            exposure_us=1.0,
            received_ns=frame_id,
            width_px=width,
            height_px=height,
            pixel_format="Mono8",
        )
    )


def verdict(camera_id: str, frame_ids: tuple[int, ...], action: Action) -> VerdictRecord:
    results = tuple(
        FrameResult(
            camera_id=camera_id,
            frame_id=number,
            exposure_start_ns=number,
            received_ns=number,
            model_sha256="m",
            status=ResultStatus.OK,
            p_defect=0.1,
            started_ns=0,
            finished_ns=1,
        )
        for number in frame_ids
    )
    about = Verdict(
        verdict_id=f"e-{frame_ids}",
        part_id=f"P{frame_ids}",
        seq=1,
        decision=Decision.CONFIRMED_ACTION,
        action=action,
        reason_code=ReasonCode.GOOD,
        confidence=0.9,
        p_defect=0.1,
        weights={},
        skew_ms=0.0,
        modalities=(),
        missing=(),
        cause="",
        trigger_ns=0,
        decided_ns=1,
        deadline_ns=2,
        valid_until_ns=3,
        failsafe=False,
        config_sha256="c",
        model_sha256="m",
    )
    evidence = PartEvidence(
        part_id=about.part_id, trigger_ns=0, results=results, window_start_ns=0, window_end_ns=1
    )
    return VerdictRecord(verdict=about, evidence=evidence)


@pytest.mark.parametrize(("choice", "kept"), [("all", [1, 2, 3, 4]), ("not_passed", [2, 3, 4]), ("none", [])])
def test_frames_are_kept_as_the_site_says(bus: Bus, tmp_path: Path, choice: str, kept: list[int]) -> None:
    """Frame 1's part passed, 2's was rejected, 3 was not detected in time, 4 belongs to no part."""
    site = load_site(site_file(tmp_path, choice))
    camera_id = site.cameras[0].id
    faults: list[Fault] = []
    context = Context(
        "recorder", str(os.getpid()), site, bus, SystemClock(), Metrics("recorder"), faults.append
    )
    frames, verdicts = bus.frame_publisher(camera_id, 12), bus.publisher(VERDICTS)
    recorder = RecorderService(context)
    for number in (1, 2, 3, 4):
        send(frames, camera_id, number)
    recorder.step()
    for record in (
        verdict(camera_id, (1,), Action.PASS),
        verdict(camera_id, (2,), Action.REJECT),
        verdict(camera_id, (), Action.REJECT),
    ):
        verdicts.send(record)
    recorder.step()
    recorder.close()
    (session,) = (path.parent for path in (tmp_path / "sessions").glob("*/session.json"))
    assert sorted(frame.meta.frame_id for frame in SessionReader(session).frames()) == kept
    assert not faults
