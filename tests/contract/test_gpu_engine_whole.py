"""The whole GPU engine, and its benchmark, over stand-ins for pycuda, the driver and TensorRT's runtime.

Engine file, header, cubins and the bindings' names are the true ones: TensorRT for RTX builds without a GPU.
"""

import gc
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from host_cuda import HostCuda
from host_tensorrt import ICudaEngine, IExecutionContext, IRuntimeCache, IRuntimeConfig
from tiny_model import tiny_frame, write_tiny_model
from typer.testing import CliRunner

from inspector.config import DetectorConfig
from inspector.detect.bench.commands import app
from inspector.detect.cuda import load_network, tensorrt_engine
from inspector.detect.cuda.build_model import build_for_model
from inspector.detect.cuda.device import Gpu
from inspector.detect.cuda.engine_file import read_engine, write_engine
from inspector.detect.cuda.tensorrt_engine import TensorRtEngine
from inspector.detect.cuda.tensorrt_library import TensorRt, find_tensorrt
from inspector.detect.engine import Engine
from inspector.detect.engines.engine_errors import EngineLostError
from inspector.detect.engines.stages import NETWORK
from inspector.detect.load import load_detector
from inspector.errors import ModelError
from inspector.types import FrameResult, ResultStatus

ARCH = "sm_89"
WAIT_S = 20.0


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    models = tmp_path_factory.mktemp("models")
    write_tiny_model(models / "tiny")
    try:
        library = find_tensorrt("tensorrt_rtx")
    except ModelError as error:
        pytest.skip(str(error))
    build_for_model(
        models / "tiny", library, arches=(ARCH,), precision="fp32", max_batch=3, images=None, output=None,
        find_device=lambda: (8, 9), progress=lambda *_: None,
    )  # fmt: skip
    return models


@pytest.fixture
def cuda(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostCuda]:
    """A host that takes the place of GPU, driver and TensorRT's runtime."""
    cuda = HostCuda(tmp_path)
    true = find_tensorrt("tensorrt_rtx")
    onnx_path = models / "tiny" / "model.onnx"

    class Runtime:
        def __init__(self, logger: object) -> None:
            self._logger = logger

        def deserialize_cuda_engine(self, plan: bytes) -> ICudaEngine | None:
            assert len(plan) > 1000
            if "deserialize" in cuda.fails:
                self._logger.log(true.api.ILogger.ERROR, "out of memory")  # type: ignore[attr-defined]
                return None
            return ICudaEngine(cuda, onnx_path)

    class Api:
        """The true bindings but for what needs a GPU."""

        def __getattr__(self, name: str) -> object:
            return getattr(true.api, name)

    api = Api()
    vars(api).update(Runtime=Runtime, nptype=lambda kind: kind)
    host = TensorRt(true.name, true.version, api)

    def found(name: str | None = None) -> TensorRt:
        if name == "tensorrt":
            raise ModelError("not installed")
        return host

    monkeypatch.setattr(load_network, "find_tensorrt", found)
    monkeypatch.setattr(tensorrt_engine, "DriverApi", lambda: cuda)
    monkeypatch.setattr(
        tensorrt_engine, "open_gpu",
        lambda: Gpu(driver=cuda, context=cuda.context, name="host", arch=ARCH, integrated=False),
    )  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield cuda
    gc.collect()
    assert not cuda.has_context, "pycuda would abort the process"


def load(models: Path, woken: threading.Event, *, timed: bool = False) -> Engine:
    config = DetectorConfig(model="tiny", engine="tensorrt", requests_in_flight=2)
    return load_detector(config, models, on_ready=woken.set, timed=timed)


def drain(engine: Engine, woken: threading.Event, number: int) -> list[FrameResult]:
    found: list[FrameResult] = []
    while len(found) < number:
        assert woken.wait(WAIT_S)
        woken.clear()
        found += [result for _, result in engine.collect()]
    return found


def test_frames_and_batches_go_through_and_all_is_given_back(models: Path, cuda: HostCuda) -> None:
    woken = threading.Event()
    engine = load(models, woken)
    assert engine.max_batch == 3
    engine.submit(tiny_frame(0, 90))
    engine.submit_batch([tiny_frame(index, 40 * index) for index in (1, 2, 3)])
    results = drain(engine, woken, 4)
    assert [result.status for result in results] == [ResultStatus.OK] * 4
    assert [round((result.anomaly_score or 0) * 16) for result in results] == [90, 40, 80, 120]
    assert not any(event.timed for event in cuda.events.values())
    engine.close()
    engine.close()
    assert (cuda.taken, cuda.given_back_late) == (0, 0)
    assert (cuda.graphs, cuda.events, cuda.locked) == ({}, {}, set())


def test_what_the_runtime_compiled_is_kept_for_the_next_start(
    models: Path, cuda: HostCuda, tmp_path: Path, logged: Callable[[], list[dict[str, str]]]
) -> None:
    load(models, threading.Event()).close()
    cache = tmp_path / "cache" / "inspector" / "tensorrt"
    (kept,) = cache.glob("*.runtime")
    assert kept.read_bytes() == b"compiled for the device"
    kept.unlink()
    kept.mkdir()  # cannot be written: costs time the next time, and nothing else
    cuda.has_context = True
    logged()
    load(models, threading.Event()).close()
    told = [(line["level"], line["event"]) for line in logged()]
    assert told == [("warning", "cache cannot be read"), ("warning", "cache cannot be written")]


@pytest.mark.parametrize("fails", ["mem_alloc", "deserialize", "execute_async_v3", "wait"])
def test_a_start_that_fails_says_why_and_leaves_no_context(models: Path, cuda: HostCuda, fails: str) -> None:
    cuda.fails = {fails: "CUDA_ERROR_OUT_OF_MEMORY"}
    with pytest.raises(ModelError) as caught:
        load(models, threading.Event())
    assert "\n" not in str(caught.value)
    assert not cuda.has_context
    if fails == "deserialize":  # the file is right: to build it again would not help
        assert "out of memory" in str(caught.value)


@pytest.fixture
def engine_file(models: Path) -> Iterator[Path]:
    """The tiny model's engine file, as it was at the end."""
    (path,) = (models / "tiny" / "engines").glob("*.engine")
    whole = path.read_bytes()
    yield path
    path.write_bytes(whole)


def test_no_engine_file_is_one_line_with_the_command(models: Path, cuda: HostCuda, engine_file: Path) -> None:
    engine_file.unlink()
    with pytest.raises(ModelError, match=f"inspector engine build .*tiny --precision fp32 --arch {ARCH}"):
        load(models, threading.Event())
    assert not cuda.has_context


@pytest.mark.parametrize("how", ["cut", "older form", "older library"])
def test_a_stale_or_damaged_engine_file_is_built_again_at_the_start(
    models: Path, cuda: HostCuda, engine_file: Path, how: str
) -> None:
    whole, (header, plan) = engine_file.read_bytes(), read_engine(engine_file)
    if how == "cut":
        engine_file.write_bytes(whole[:-1])
    elif how == "older form":
        engine_file.write_bytes(b"INSPENG1" + whole[8:])
    else:
        write_engine(engine_file, msgspec.structs.replace(header, library_version="1.0"), plan)
    engine = load(models, threading.Event())
    assert read_engine(engine_file)[0].library_version == header.library_version
    assert engine.max_batch == (3 if how == "older library" else 4)  # what the old file told, or as usual
    engine.close()
    assert cuda.taken == 0


def test_a_lost_device_ends_the_engine_and_is_given_nothing_back(models: Path, cuda: HostCuda) -> None:
    woken = threading.Event()
    engine = load(models, woken)
    taken = cuda.taken
    cuda.fails = {"wait": "CUDA_ERROR_ECC_UNCORRECTABLE"}
    engine.submit(tiny_frame(0))
    assert woken.wait(WAIT_S)
    with pytest.raises(EngineLostError, match="CUDA_ERROR_ECC_UNCORRECTABLE"):
        engine.collect()
    engine.close()
    del engine
    gc.collect()
    assert cuda.taken == taken
    cuda.has_context = False  # as the process ends


def test_the_network_alone_is_timed_by_the_device(models: Path, cuda: HostCuda) -> None:
    engine = load(models, threading.Event(), timed=True)
    assert isinstance(engine, TensorRtEngine)
    assert all(ns > 0 for ns in engine.time_alone(5))
    assert len(engine.time_alone(7)) == 7
    engine.close()
    assert cuda.events == {}


def test_the_benchmark_tells_copies_hidden_and_traces_each_slots_stages(
    models: Path, cuda: HostCuda, tmp_path: Path
) -> None:
    trace = tmp_path / "trace.json"
    done = CliRunner().invoke(app, [
        "pipeline", "tiny", "--models", str(models), "--engine", "tensorrt", "--slots", "2", "--frames", "20",
        "--fps", "200", "--trace", str(trace), "--json",
    ])  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "copies hidden" in done.stdout
    found = json.loads(done.stdout.strip().splitlines()[-1])
    assert 0 <= found["copies_hidden"] <= 1
    events = json.loads(trace.read_text())["traceEvents"]
    tracks = {e["args"]["name"]: (e["pid"], e["tid"]) for e in events if e["name"] == "thread_name"}
    assert {"slot 0", "slot 1", "stages of slot 0", "stages of slot 1"} <= set(tracks)
    networks = [e for e in events if e["name"] == NETWORK]
    assert len(networks) == 40  # full and paced
    assert {(e["pid"], e["tid"]) for e in networks} == {
        tracks["stages of slot 0"],
        tracks["stages of slot 1"],
    }
    assert cuda.events == {}


def test_the_stand_ins_names_are_those_of_tensorrts_bindings() -> None:
    try:
        api = find_tensorrt("tensorrt_rtx").api
    except ModelError as error:
        pytest.skip(str(error))
    for ours in (ICudaEngine, IExecutionContext, IRuntimeConfig, IRuntimeCache):
        names = {name for name in vars(ours) if not name.startswith("_")}
        assert names <= set(dir(getattr(api, ours.__name__))), ours.__name__
    assert hasattr(api.Runtime, "deserialize_cuda_engine")
    assert hasattr(api.ExecutionContextAllocationStrategy, "USER_MANAGED")
    assert hasattr(api.DynamicShapesKernelSpecializationStrategy, "EAGER")
    assert api.nptype(api.DataType.FLOAT) == np.float32
