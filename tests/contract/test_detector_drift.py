"""The detector tells that pictures have become darker than at teach-in, as a metric and as a Fault."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from inspector.bus import Bus, FramePublisher, sweep
from inspector.clock import NS_PER_MS, SystemClock
from inspector.config_load import load_site
from inspector.detect.frame_context import frame_context
from inspector.detect.model.manifest import load_manifest
from inspector.detect.model.model_folder import write_manifest
from inspector.detect.picture_drift import taught_pictures
from inspector.metrics import Metrics
from inspector.services.detector import DetectorService
from inspector.services.loop import Context
from inspector.topics import RESULTS
from inspector.types import Fault, FrameMeta

ROOT = Path(__file__).parents[2]
WIDTH, HEIGHT = 640, 480
FRAMES = 35


def picture(number: int, light: float) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return np.asarray((100 + (rows * columns // 64 + number) % 50) * light, dtype=np.uint8)


@pytest.fixture
def told(tmp_path: Path) -> Iterator[tuple[Context, list[Fault]]]:
    """A detector's context, with a model that says how its pictures were, and the faults that come of it."""
    domain = f"{os.getpid()}"
    shutil.copytree(ROOT / "models" / "demo_part", tmp_path / "models" / "part")
    folder = tmp_path / "models" / "part"
    pictures = taught_pictures([frame_context(picture(n, 1.0)[None, ..., None]) for n in range(10)])
    write_manifest(folder, msgspec.structs.replace(load_manifest(folder), pictures=pictures))
    site = load_site(ROOT / "deploy" / "demo" / "site.yaml")
    detector = replace(site.site.detector, model=str(folder))
    site = replace(site, site=replace(site.site, detector=detector))
    faults: list[Fault] = []
    with Bus(domain, "detector") as bus:
        yield (
            Context("detector", domain, site, bus, SystemClock(), Metrics("detector"), faults.append),
            faults,
        )
    sweep(domain)


def test_darker_pictures_are_told_of_once(told: tuple[Context, list[Fault]]) -> None:
    context, faults = told
    camera = context.site.cameras[0].id
    publisher = context.bus.frame_publisher(camera, WIDTH * HEIGHT)
    results = context.bus.subscriber(RESULTS)
    detector = DetectorService(context)
    for number in range(2 * FRAMES):
        send(publisher, camera, number, 1.0 if number < FRAMES else 0.7)
        while not list(results.drain()):
            detector.step()
            context.bus.wait(20 * NS_PER_MS)
        if number == FRAMES - 1:
            assert [fault for fault in faults if "pictures" in fault.text] == []
            assert context.counters[f"light_percent_{camera}"] == 100
            assert context.counters[f"light_drifting_{camera}"] == 0
    detector.close()
    (fault,) = [fault for fault in faults if "pictures" in fault.text]
    assert (fault.code, fault.camera_id) == ("DRIFT", camera)
    assert "darker" in fault.text
    assert context.counters[f"light_percent_{camera}"] < 90
    assert f"focus_percent_{camera}" in context.counters
    assert context.counters[f"light_drifting_{camera}"] == 1
    assert context.counters[f"focus_drifting_{camera}"] == 0


def send(publisher: FramePublisher, camera: str, number: int, light: float) -> None:
    now_ns = SystemClock().now_ns()
    slot = publisher.loan(WIDTH * HEIGHT)
    slot.pixels[:] = picture(number, light).reshape(-1)
    slot.send(
        FrameMeta(
            camera_id=camera,
            frame_id=number,
            exposure_start_ns=now_ns,
            exposure_us=100.0,
            received_ns=now_ns,
            width_px=WIDTH,
            height_px=HEIGHT,
            pixel_format="Mono8",
        )
    )
