"""The detector comes back to a hundred waiting frames: each part is judged, and told why it was not seen."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.bus import Bus, FramePublisher, sweep
from inspector.clock import NS_PER_MS, SystemClock
from inspector.config_load import load_site
from inspector.decide.arbiter import Arbiter
from inspector.metrics import Metrics
from inspector.services.detector import DetectorService
from inspector.services.loop import Context
from inspector.services.setup import arbiter_setup
from inspector.topics import RESULTS
from inspector.types import (
    Fault,
    FrameMeta,
    FrameResult,
    JournalEntry,
    PartTrigger,
    ReasonCode,
    ResultStatus,
    VerdictRecord,
)

FRAMES = 100
WIDTH, HEIGHT = 640, 480
SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"


@pytest.fixture
def context() -> Iterator[Context]:
    domain = f"{os.getpid()}"
    faults: list[Fault] = []
    with Bus(domain, "detector") as bus:
        yield Context(
            "detector", domain, load_site(SITE), bus, SystemClock(), Metrics("detector"), faults.append
        )
    sweep(domain)


def test_each_part_of_a_backlog_gets_its_verdict(context: Context) -> None:
    camera = context.site.cameras[0].id
    publisher = context.bus.frame_publisher(camera, WIDTH * HEIGHT)
    subscriber = context.bus.subscriber(RESULTS)
    detector = DetectorService(context)
    arbiter = Arbiter(arbiter_setup(context.site))
    parts = send_frames(publisher, camera)
    results: list[FrameResult] = []
    detector.step()  # all of them at once
    while len(results) < FRAMES:
        context.bus.wait(20 * NS_PER_MS)
        detector.step()
        results += subscriber.drain()
    detector.close()
    assert Counter(result.frame_id for result in results) == Counter(range(FRAMES))
    shed = {result.frame_id for result in results if result.status is ResultStatus.DROPPED}
    assert len(shed) == context.counters["frames_dropped"] > FRAMES // 2
    assert all(result.status is ResultStatus.OK for result in results if result.frame_id not in shed)
    assert context.counters["frames_overrun"] == 0  # what was shed was shed with a word
    verdicts = judged(arbiter, parts, results)
    assert Counter(verdict.verdict.part_id for verdict in verdicts) == Counter(p.part_id for p in parts)
    for record in verdicts:
        verdict = record.verdict
        blind = int(verdict.part_id) in shed
        assert (f"vision.{camera}" in verdict.missing) == blind
        if blind:
            assert verdict.failsafe
            assert verdict.reason_code is ReasonCode.EVIDENCE_MISSING


def send_frames(publisher: FramePublisher, camera: str) -> list[PartTrigger]:
    """Send a frame for each of many parts that passed 100 ms apart."""
    now_ns = SystemClock().now_ns()
    parts: list[PartTrigger] = []
    for number in range(FRAMES):
        exposed_ns = now_ns + number * 100 * NS_PER_MS
        slot = publisher.loan(WIDTH * HEIGHT)
        slot.pixels[:] = 128
        slot.send(
            FrameMeta(
                camera_id=camera,
                frame_id=number,
                exposure_start_ns=exposed_ns,
                exposure_us=1000.0,
                received_ns=now_ns,
                width_px=WIDTH,
                height_px=HEIGHT,
                pixel_format="Mono8",
            )
        )
        parts.append(
            PartTrigger(part_id=str(number), seq=number, trigger_ns=exposed_ns, received_ns=exposed_ns)
        )
    return parts


def judged(arbiter: Arbiter, parts: list[PartTrigger], results: list[FrameResult]) -> list[VerdictRecord]:
    """Let the arbiter see all parts and all results, then each part's deadline as it comes."""
    now_ns = parts[0].received_ns  # before anything is due
    inputs = [JournalEntry(seq=0, epoch="e", now_ns=now_ns, trigger=part) for part in parts]
    inputs += [JournalEntry(seq=0, epoch="e", now_ns=now_ns, result=result) for result in results]
    outputs = [output for entry in inputs for output in arbiter.step(entry)]
    while (wake_ns := arbiter.next_wakeup_ns) is not None:
        outputs += arbiter.step(JournalEntry(seq=0, epoch="e", now_ns=wake_ns))
    return [output for output in outputs if isinstance(output, VerdictRecord)]
