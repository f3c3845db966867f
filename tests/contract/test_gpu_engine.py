"""The GPU engine as far as no GPU is needed, and on a GPU where there is one."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from host_slot import HostNetwork, HostSlot
from tiny_model import COLUMNS, HEIGHT, ROWS, WIDTH, tiny_frame, write_tiny_model

from inspector.clock import SystemClock
from inspector.config import DetectorConfig
from inspector.detect.cuda.build_model import build_for_model
from inspector.detect.cuda.decode_plan import decode_parameters
from inspector.detect.cuda.device import compute_capability
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.gpu_slot import Admitted, GpuLane, admit, look
from inspector.detect.cuda.tensorrt_library import find_tensorrt
from inspector.detect.engine import Engine
from inspector.detect.engines.engine_errors import EngineLostError
from inspector.detect.engines.outcome import frame_result
from inspector.detect.engines.slots import SlotPipeline
from inspector.detect.load import load_detector
from inspector.detect.model.manifest import Manifest
from inspector.errors import ConfigError, InspectorError, ModelError
from inspector.types import Frame, FrameMeta, FrameResult, ResultStatus

MODELS = Path(__file__).parents[2] / "models"
BATCH = 3
WAIT_S = 20.0


def gpu_missing() -> str:
    try:
        compute_capability()
        find_tensorrt()
    except InspectorError as error:
        return str(error)
    return ""


needs_gpu = pytest.mark.skipif(bool(gpu_missing()), reason=gpu_missing())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return write_tiny_model(folder / "models" / "tiny")


@pytest.fixture(scope="module")
def network(folder: Path, manifest: Manifest) -> HostNetwork:
    parameters = decode_parameters(ROWS, COLUMNS, manifest)
    return HostNetwork(folder / "models" / "tiny" / "model.onnx", manifest.input, parameters, folder)


class Cell:
    """Slots on the host under the pipeline that the GPU engine uses."""

    def __init__(self, network: HostNetwork, manifest: Manifest) -> None:
        self.woken = threading.Event()
        self.slots = [HostSlot(network, BATCH) for _ in range(2)]
        self.pipeline: SlotPipeline[Admitted] = SlotPipeline(
            [GpuLane(slot, manifest, network.parameters) for slot in self.slots],
            lambda frame: admit(frame, manifest.input),
            lambda admitted: look(admitted, manifest.input),
            lambda outcome: frame_result(outcome, manifest.onnx.sha256, 0),
            clock=SystemClock(),
            on_ready=self.woken.set,
            name="host",
        )

    def results(self, number: int) -> list[FrameResult]:
        found: list[FrameResult] = []
        while len(found) < number:
            assert self.woken.wait(WAIT_S)
            self.woken.clear()
            found += [result for _, result in self.pipeline.collect()]
        return found


@pytest.fixture
def cell(network: HostNetwork, manifest: Manifest) -> Iterator[Cell]:
    cell = Cell(network, manifest)
    yield cell
    cell.pipeline.close()


def pictures(count: int) -> list[npt.NDArray[np.uint8]]:
    """Dark grounds with bright blots, so that there are boxes to find."""
    rng = np.random.default_rng(5)
    found = []
    for _ in range(count):
        image = rng.integers(20, 60, (HEIGHT, WIDTH), dtype=np.uint8)
        for _ in range(int(rng.integers(0, 4))):
            x, y = int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))
            cv2.rectangle(image, (x, y), (x + 16, y + 16), 255, -1)
        found.append(image)
    return found


def as_frame(image: npt.NDArray[np.uint8], frame_id: int, pixel_format: str = "Mono8") -> Frame:
    meta = FrameMeta(
        camera_id="cam", frame_id=frame_id, exposure_start_ns=1, exposure_us=1.0, received_ns=2,
        width_px=image.shape[1], height_px=image.shape[0], pixel_format=pixel_format,
    )  # fmt: skip
    return Frame(meta, image)


def cpu_results(models: Path, frames: list[Frame]) -> list[FrameResult]:
    woken = threading.Event()
    config = DetectorConfig(model="tiny", requests_in_flight=1)
    engine = load_detector(config, models, on_ready=woken.set, cache_dir=models / "cache")
    found = []
    for frame in frames:
        engine.submit(frame)
        while not (done := engine.collect()):
            assert woken.wait(WAIT_S)
            woken.clear()
        found.append(done[0][1])
    engine.close()
    return found


def test_batches_give_what_the_cpu_engine_gives(cell: Cell, folder: Path) -> None:
    frames = [as_frame(image, index) for index, image in enumerate(pictures(9))]
    frames[4] = as_frame(np.zeros((HEIGHT, WIDTH, 3), np.uint8), 4, "BGR8")
    found = []
    for start in range(0, 9, BATCH):
        cell.pipeline.submit(frames[start : start + BATCH])
        found += cell.results(BATCH)
    wanted = cpu_results(folder / "models", frames)
    assert any(result.detections for result in wanted)
    for ours, theirs in zip(found, wanted, strict=True):
        assert (ours.frame_id, ours.status) == (theirs.frame_id, theirs.status)
        assert ours.detections == theirs.detections
        assert ours.heatmap == theirs.heatmap
        assert ours.p_defect == pytest.approx(theirs.p_defect)
        assert ours.context == theirs.context


def test_what_the_model_cannot_take_is_refused_as_on_the_cpu(cell: Cell, folder: Path) -> None:
    bad = [
        tiny_frame(0, missing=2),
        as_frame(np.zeros((8, 8), np.uint8), 1),
        as_frame(np.zeros((HEIGHT, WIDTH), np.uint8), 2, "Mono10Packed"),
    ]
    cell.pipeline.submit(bad)
    found = cell.results(3)
    assert [result.status for result in found] == [ResultStatus.INVALID_FRAME] * 3
    assert [r.reason for r in found] == [r.reason for r in cpu_results(folder / "models", bad)]


@pytest.mark.parametrize("where", ["upload", "run", "wait"])
def test_a_passing_error_costs_its_frame_and_nothing_else(cell: Cell, where: str) -> None:
    for slot in cell.slots:
        slot.fails = {where: "CUDA_ERROR_INVALID_VALUE"}
    cell.pipeline.submit([tiny_frame(1)])
    (failed,) = cell.results(1)
    assert failed.status is ResultStatus.ENGINE_ERROR
    assert "CUDA_ERROR_INVALID_VALUE" in failed.reason
    for slot in cell.slots:
        slot.fails = {}
    cell.pipeline.submit([tiny_frame(2)])
    assert cell.results(1)[0].status is ResultStatus.OK


@pytest.mark.parametrize("where", ["upload", "run", "wait"])
@pytest.mark.parametrize(
    "code", ["CUDA_ERROR_ILLEGAL_ADDRESS", "CUDA_ERROR_OUT_OF_MEMORY", "CUDA_ERROR_UNKNOWN", "LaunchError"]
)
def test_an_error_that_stays_ends_the_engine_with_its_name(cell: Cell, where: str, code: str) -> None:
    for slot in cell.slots:
        slot.fails = {where: code}
    cell.pipeline.submit([tiny_frame(1)])
    assert cell.woken.wait(WAIT_S)
    with pytest.raises(EngineLostError, match=code):
        cell.pipeline.collect()
    assert not cell.pipeline.close()  # nothing may be given back to a lost device


@pytest.mark.skipif(not gpu_missing(), reason="there is a GPU")
def test_a_gpu_engine_without_a_gpu_is_one_clear_line(manifest: Manifest, folder: Path) -> None:
    config = DetectorConfig(model=manifest.name, engine="tensorrt")
    with pytest.raises(ConfigError, match=r"set detector\.engine to openvino") as caught:
        load_detector(config, folder / "models")
    assert "\n" not in str(caught.value)


def test_inspector_is_imported_whole_where_nothing_of_nvidia_is_installed() -> None:
    """Every module but what asks for another extra (torch); the GPU's own too, as they import late."""
    code = """
import importlib, pkgutil, sys
for library in ("tensorrt", "tensorrt_rtx"):
    sys.modules.update(dict.fromkeys([library, library + "_bindings", library + "_libs"]))
sys.modules.update(dict.fromkeys(["pycuda", "pynvml", "nvidia"]))
import inspector
for module in pkgutil.walk_packages(inspector.__path__, "inspector."):
    if module.name != "inspector.services.__main__":
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name in sys.modules:
                print(module.name, error.name)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_a_tensorrt_that_is_too_old_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, right in (("8.6.1", False), ("10.0.1", False), ("10.1.0", True), ("11.0.0.4", True)):
        old = ModuleType("tensorrt")
        vars(old).update(__version__=version, Builder=object)
        monkeypatch.setitem(sys.modules, "tensorrt", old)
        if right:
            assert find_tensorrt("tensorrt").version == version
        else:
            with pytest.raises(ModelError, match=rf"tensorrt {version} is too old: install 10\.1 or later"):
                find_tensorrt("tensorrt")


def test_a_missing_driver_is_one_clear_line() -> None:
    with pytest.raises(ConfigError, match="no NVIDIA driver"):
        DriverApi("libcuda-that-is-not-there.so")


@pytest.fixture(scope="module")
def gpu_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("gpu_models")
    write_tiny_model(models / "tiny")
    build_for_model(
        models / "tiny", find_tensorrt(), arches=("current",), precision="fp32", max_batch=BATCH, images=None,
        output=None, find_device=compute_capability, progress=lambda *_: None,
    )  # fmt: skip
    return models


@pytest.mark.gpu
@needs_gpu
def test_on_a_gpu_results_are_the_cpus(gpu_models: Path) -> None:
    woken = threading.Event()
    config = DetectorConfig(model="tiny", engine="tensorrt", requests_in_flight=3)
    engine: Engine = load_detector(config, gpu_models, on_ready=woken.set, cache_dir=gpu_models / "gpu")
    frames = [as_frame(image, index) for index, image in enumerate(pictures(60))]
    queue = list(frames)
    found: list[FrameResult] = []
    while len(found) < len(frames):
        while queue and engine.free_slots:
            batch, queue = queue[:BATCH], queue[BATCH:]
            engine.submit_batch(batch)
        assert woken.wait(WAIT_S)
        woken.clear()
        found += [result for _, result in engine.collect()]
    engine.close()
    for ours, theirs in zip(found, cpu_results(gpu_models, frames), strict=True):
        assert ours.detections == theirs.detections
        assert ours.p_defect == pytest.approx(theirs.p_defect, abs=1e-4)
