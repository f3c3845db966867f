"""Every engine: results in order, several in flight, bad frames refused, nothing left behind."""

import gc
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from inspector.clock import SystemClock
from inspector.config import DetectorConfig
from inspector.detect.commands import find_backbone
from inspector.detect.engine import Engine, Ticket
from inspector.detect.load import load_detector
from inspector.detect.teaching.held_out import Method
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.errors import ConfigError, InvariantError, ModelError
from inspector.types import Frame, FrameMeta, FrameResult, ResultStatus

Gray = npt.NDArray[np.uint8]
WIDTH, HEIGHT = 128, 96
WAIT_S = 20.0
IN_FLIGHT = 3


def part(seed: int, *, spot: bool = False) -> Gray:
    """A bright disc on a dark ground with noise; `spot` puts a dark blot on it."""
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH), 40, dtype=np.uint8)
    centre = (64 + int(rng.integers(-1, 2)), 48 + int(rng.integers(-1, 2)))
    cv2.circle(image, centre, 34, 170, -1)
    if spot:
        cv2.circle(image, (centre[0] + 12, centre[1] - 10), 6, 60, -1)
    noisy = image + rng.normal(0, 2, image.shape)
    return np.asarray(np.clip(noisy, 0, 255), dtype=np.uint8)


def frame(image: Gray, frame_id: int = 0, pixel_format: str = "Mono8", missing: int = 0) -> Frame:
    image.flags.writeable = False
    meta = FrameMeta(
        camera_id="cam", frame_id=frame_id, exposure_start_ns=11, exposure_us=100.0,
        received_ns=12, width_px=image.shape[1], height_px=image.shape[0],
        pixel_format=pixel_format, missing_packets=missing, clock_uncertainty_us=7.0,
    )  # fmt: skip
    return Frame(meta, image)


def write_parts(folder: Path, seeds: range, *, spot: bool = False) -> Path:
    folder.mkdir(parents=True)
    for seed in seeds:
        cv2.imwrite(str(folder / f"{seed:04}.png"), part(seed, spot=spot))
    return folder


@pytest.fixture(scope="module", params=["gaussian", "bank"])
def models(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with "disc", taught from 12 good parts."""
    method: Method = request.param
    root = tmp_path_factory.mktemp(f"models_{method}")
    good = write_parts(root / "images", range(12))
    options = TeachOptions(name="disc", method=method)
    teach(good, None, root / "models", find_backbone(root / "models"), options=options)
    return root / "models"


class Driver:
    """Drives an engine as the detector service does."""

    def __init__(self, models: Path, cache: Path) -> None:
        self.woken = threading.Event()
        config = DetectorConfig(model="disc", threads=2, requests_in_flight=IN_FLIGHT)
        self.engine: Engine = load_detector(
            config, models, clock=SystemClock(), on_ready=self.woken.set, cache_dir=cache
        )

    def run(self, frames: list[Frame]) -> list[tuple[Ticket, FrameResult]]:
        queue = list(frames)
        results: list[tuple[Ticket, FrameResult]] = []
        tickets = []
        while len(results) < len(frames):
            while queue and self.engine.free_slots:
                tickets.append(self.engine.submit(queue.pop(0)))
            assert self.woken.wait(WAIT_S), "the engine never called on_ready"
            self.woken.clear()
            results += self.engine.collect()
        assert [ticket for ticket, _ in results] == tickets
        return results


@pytest.fixture
def driver(models: Path, tmp_path: Path) -> Iterator[Driver]:
    driver = Driver(models, tmp_path / "cache")
    yield driver
    driver.engine.close()


def test_good_and_bad_parts_are_told_apart_with_the_place(driver: Driver) -> None:
    good, bad = (result for _, result in driver.run([frame(part(100)), frame(part(101, spot=True))]))
    assert good.status == bad.status == ResultStatus.OK
    assert good.p_defect is not None
    assert bad.p_defect is not None
    assert good.p_defect < 0.25
    assert bad.p_defect > 0.75
    assert good.detections == ()
    x0, y0, x1, y1 = bad.detections[0].box_px
    assert x0 <= 76 <= x1
    assert y0 <= 38 <= y1
    assert bad.heatmap is not None
    assert bad.heatmap.data[0] < max(bad.heatmap.data)


def test_results_carry_the_frames_identity_and_times(driver: Driver) -> None:
    ((_, result),) = driver.run([frame(part(1), frame_id=77)])
    assert (result.camera_id, result.frame_id) == ("cam", 77)
    assert (result.exposure_start_ns, result.received_ns) == (11, 12)
    assert (result.width_px, result.height_px, result.clock_uncertainty_us) == (WIDTH, HEIGHT, 7.0)
    assert result.context is not None
    assert result.context.light_level == pytest.approx(part(1).mean() / 255, abs=0.01)
    assert result.model_sha256 == driver.engine.manifest.onnx.sha256
    assert 0 < result.started_ns <= result.finished_ns


def test_order_holds_with_several_in_flight_and_bad_ones_between(driver: Driver) -> None:
    frames = [frame(part(i), frame_id=i, missing=1 if i % 4 == 2 else 0) for i in range(4 * IN_FLIGHT)]
    results = [result for _, result in driver.run(frames)]
    assert [result.frame_id for result in results] == list(range(len(frames)))
    for result in results:
        wanted = ResultStatus.INVALID_FRAME if result.frame_id % 4 == 2 else ResultStatus.OK
        assert result.status == wanted


def test_the_same_pixels_give_the_same_scores(driver: Driver, models: Path, tmp_path: Path) -> None:
    def scores(of: Driver) -> list[tuple[float | None, object]]:
        frames = [frame(part(i % 2, spot=True), frame_id=i) for i in range(8)]
        return [(r.anomaly_score, r.heatmap) for _, r in of.run(frames)]

    first = scores(driver)
    assert len(set(first)) == 2
    again = Driver(models, tmp_path / "cache")
    assert scores(again) == first
    again.engine.close()


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (frame(np.zeros((HEIGHT, WIDTH + 2), dtype=np.uint8)), "the model takes 128 x 96"),
        (frame(np.zeros((HEIGHT, WIDTH), dtype=np.uint8), pixel_format="Mono10"), "pixel format Mono10"),
        (frame(np.zeros((HEIGHT, WIDTH), dtype=np.uint8), missing=3), "lacks 3 packets"),
    ],
)
def test_a_bad_frame_gives_a_result_that_says_so(driver: Driver, bad: Frame, why: str) -> None:
    ((_, result),) = driver.run([bad])
    assert why in result.reason
    assert result.status == ResultStatus.INVALID_FRAME
    assert result.p_defect is None
    assert result.heatmap is None


def test_a_frame_is_let_go_when_its_result_is_collected(driver: Driver) -> None:
    given = frame(part(5))
    image = weakref.ref(given.image)
    driver.run([given])
    del given
    gc.collect()
    assert image() is None


def test_a_full_engine_and_a_closed_one_refuse(driver: Driver) -> None:
    for index in range(IN_FLIGHT):
        driver.engine.submit(frame(part(index)))
    assert driver.engine.free_slots == 0
    with pytest.raises(InvariantError):
        driver.engine.submit(frame(part(9)))
    driver.engine.close()
    driver.engine.close()
    with pytest.raises(InvariantError):
        driver.engine.submit(frame(part(9)))


def test_closing_leaves_no_threads_behind(models: Path, tmp_path: Path) -> None:
    def open_and_close() -> int:
        driver = Driver(models, tmp_path / "cache")
        driver.run([frame(part(0))])
        driver.engine.close()
        del driver
        gc.collect()
        return len(list(Path("/proc/self/task").iterdir()))

    first = open_and_close()
    assert max(open_and_close() for _ in range(4)) <= first


def test_defects_given_move_the_threshold_between_the_classes(tmp_path: Path) -> None:
    good = write_parts(tmp_path / "good", range(10))
    bad = write_parts(tmp_path / "bad", range(50, 54), spot=True)
    models = tmp_path / "models"
    options = TeachOptions(name="disc", threads=1)
    taught = teach(good, bad, models, find_backbone(models), options=options)
    assert taught.manifest.calibration.source == "good_and_defect"
    assert taught.manifest.metrics["held_out_image_auroc"] == 1.0
    assert [p.name for p in models.iterdir()] == ["disc"]  # nothing temporary stays


def test_a_damaged_model_does_not_load(tmp_path: Path, models: Path) -> None:
    folder = tmp_path / "models" / "disc"
    folder.mkdir(parents=True)
    manifest = (models / "disc" / "manifest.yaml").read_text()
    (folder / "manifest.yaml").write_text(manifest)
    (folder / "model.onnx").write_bytes((models / "disc" / "model.onnx").read_bytes()[:-1])
    with pytest.raises(ModelError, match="sha256"):
        load_detector(DetectorConfig(model="disc"), tmp_path / "models")


def test_teach_in_says_what_is_wrong_with_the_images(tmp_path: Path) -> None:
    few = write_parts(tmp_path / "few", range(4))
    backbone = find_backbone(tmp_path)
    with pytest.raises(ConfigError, match="4 images; teach-in takes 5 to 500"):
        teach(few, None, tmp_path, backbone, options=TeachOptions(name="x"))
    (few / "0009.png").write_bytes(b"no image")
    with pytest.raises(ConfigError, match=r"0009\.png"):
        teach(few, None, tmp_path, backbone, options=TeachOptions(name="x"))
    with pytest.raises(ConfigError, match="no such folder"):
        teach(tmp_path / "gone", None, tmp_path, backbone, options=TeachOptions(name="x"))
