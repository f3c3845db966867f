"""The CUDA slot over stand-ins for pycuda, the driver and TensorRT: what is enqueued, in which order."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from host_cuda import HostCuda
from host_tensorrt import ICudaEngine
from tiny_model import COLUMNS, HEIGHT, ROWS, WIDTH, tiny_frame, write_tiny_model

from inspector.clock import SystemClock
from inspector.detect.cuda.decode_plan import decode_parameters
from inspector.detect.cuda.device import Gpu
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.frame_pool import FramePool
from inspector.detect.cuda.gpu_slot import GpuError, GpuLane, admit
from inspector.detect.cuda.pycuda_slot import Network, PycudaSlot
from inspector.detect.cuda.stage_events import EventClock
from inspector.detect.engines.engine_errors import EngineLostError
from inspector.detect.engines.stages import COPY_IN, COPY_OUT, DECODING, NETWORK, PREPARATION
from inspector.detect.model.decode import decode_anomaly_map
from inspector.detect.model.manifest import InputLayout, Manifest
from inspector.detect.teaching.graph import SCORE, SCORE_MAP
from inspector.types import Frame, FrameMeta

BATCH = 2
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING


class Bench:
    """A slot on the stand-ins. `on_device` says whether the score map is decoded there."""

    def __init__(self, folder: Path, manifest: Manifest, on_device: bool = True) -> None:
        self.cuda = HostCuda(folder)
        self.api = cast("DriverApi", self.cuda)
        self.engine = ICudaEngine(self.cuda, folder / "tiny" / "model.onnx")
        self.parameters = decode_parameters(ROWS, COLUMNS, manifest) if on_device else None
        self.network = Network(
            image_bytes=WIDTH * HEIGHT, image_shape=(HEIGHT, WIDTH, 1),
            outputs={SCORE: ((), np.float32), SCORE_MAP: ((ROWS, COLUMNS), np.float32)},
            max_batch=BATCH, new_context=self.engine.create_execution_context,
            scratch_bytes=ICudaEngine.device_memory_size_v2,
            prepare=self.cuda.kernel("prepare"), decode=self.cuda.kernel("decode"),
            parameters=self.parameters,
        )  # fmt: skip
        self.clock = EventClock(self.api, SystemClock())

    def slot(self, *, timed: bool = False, number: int = 0, integrated: bool = False) -> PycudaSlot:
        gpu = Gpu(
            driver=self.cuda, context=self.cuda.context, name="host", arch="sm_00", integrated=integrated
        )
        pool = FramePool(lambda *_: None, lambda _: None)
        slot = PycudaSlot(gpu, self.api, self.network, pool, number, self.clock if timed else None)
        slot.warm_up()
        if timed:
            self.clock.start(slot.stream)
        return slot


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("slot")


@pytest.fixture(scope="module")
def manifest(folder: Path) -> Manifest:
    return write_tiny_model(folder / "tiny")


def colour_frame(frame_id: int, grey: int, layout: InputLayout) -> Frame:
    image = np.full((layout.height_px, layout.width_px, 3), grey, np.uint8)
    meta = FrameMeta(
        camera_id="cam", frame_id=frame_id, exposure_start_ns=0, exposure_us=1.0, received_ns=0,
        width_px=layout.width_px, height_px=layout.height_px, pixel_format="BGR8",
    )  # fmt: skip
    return Frame(meta, image)


@pytest.mark.parametrize("on_device", [True, False])
def test_batches_of_any_size_end_with_each_images_own_answer(
    folder: Path, manifest: Manifest, on_device: bool
) -> None:
    bench = Bench(folder, manifest, on_device)
    lane = GpuLane(bench.slot(), manifest, bench.parameters)
    assert len(bench.cuda.graphs) == BATCH  # one captured for each size
    frames = [tiny_frame(0, 250), colour_frame(1, 30, manifest.input), tiny_frame(2, 90)]
    for batch in (frames[:2], frames[2:], frames[1:]):
        lane.start([admit(frame, manifest.input) for frame in batch])
        lane.wait()
        for frame, answer in zip(batch, lane.read(), strict=True):
            grey = float(frame.image.reshape(-1)[0])
            score_map = np.full((ROWS, COLUMNS), grey / 16, np.float32)
            assert answer == decode_anomaly_map(float(score_map.max()), score_map, manifest)


@pytest.mark.parametrize("channels", [1, 3])
def test_lines_that_the_camera_pads_are_read_without_the_padding(
    folder: Path, manifest: Manifest, channels: int
) -> None:
    bench = Bench(folder, manifest)
    lane = GpuLane(bench.slot(), manifest, bench.parameters)
    whole = tiny_frame(0, 250) if channels == 1 else colour_frame(0, 250, manifest.input)
    padded = np.full((HEIGHT, WIDTH + 16, *whole.image.shape[2:]), 255, np.uint8)
    padded[:, :WIDTH] = whole.image
    answers = []
    for frame in (whole, Frame(whole.meta, padded[:, :WIDTH])):
        lane.start([admit(frame, manifest.input)])
        lane.wait()
        answers += lane.read()
    assert answers[1] == answers[0]


def test_a_run_takes_no_memory_and_copies_each_frame_once(folder: Path, manifest: Manifest) -> None:
    bench = Bench(folder, manifest)
    lane = GpuLane(bench.slot(), manifest, bench.parameters)
    bench.cuda.fails["mem_alloc"] = "CUDA_ERROR_OUT_OF_MEMORY"
    bench.cuda.copies_in.clear()
    lane.start([admit(tiny_frame(index), manifest.input) for index in range(2)])
    lane.wait()
    assert len(bench.cuda.copies_in) == 2


@pytest.mark.parametrize("timed", [False, True])
def test_nothing_waits_between_submit_and_collect_whether_timed_or_not(
    folder: Path, manifest: Manifest, timed: bool
) -> None:
    bench = Bench(folder, manifest)
    slot = bench.slot(timed=timed)
    assert bench.cuda.stream(slot.stream).flags == NON_BLOCKING
    lane = GpuLane(slot, manifest, bench.parameters)
    hold = threading.Event()
    bench.cuda.stream(slot.stream).enqueue(hold.wait)  # the device is busy
    waits = bench.cuda.waits
    lane.start([admit(tiny_frame(0, 250), manifest.input)])
    assert bench.cuda.waits == waits
    hold.set()
    lane.wait()
    assert bench.cuda.waits == waits + 1
    (answer,) = lane.read()
    assert answer.anomaly_score == pytest.approx(250 / 16)


@pytest.mark.parametrize(
    ("frame", "on_device", "before"),
    [
        (lambda _: tiny_frame(0), True, [COPY_IN]),  # the network's input as it is
        (lambda layout: colour_frame(0, 40, layout), True, [COPY_IN, PREPARATION]),
        (lambda layout: colour_frame(0, 40, layout), False, [COPY_IN, PREPARATION]),
    ],
)
def test_a_timed_run_tells_its_stages_one_after_the_other(
    folder: Path,
    manifest: Manifest,
    frame: Callable[[InputLayout], Frame],
    on_device: bool,
    before: list[str],
) -> None:
    bench = Bench(folder, manifest, on_device)
    slot = bench.slot(timed=True, number=1)
    lane = GpuLane(slot, manifest, bench.parameters)
    for batch in (1, 2, 1):
        lane.start([admit(frame(manifest.input), manifest.input)] * batch)
        lane.wait()
    stages = slot.take_stages()
    after = [NETWORK, *([DECODING] if on_device else []), COPY_OUT]
    assert [stage.name for stage in stages] == [*before, *after, *before, *before, *after, *before, *after]
    assert {stage.slot for stage in stages} == {1}
    at_ns = stages[0].start_ns
    for stage in stages:
        assert at_ns <= stage.start_ns <= stage.end_ns
        at_ns = stage.end_ns
    assert slot.take_stages() == []


def test_on_a_gpu_that_shares_the_cpus_memory_nothing_is_copied_in(folder: Path, manifest: Manifest) -> None:
    bench = Bench(folder, manifest)
    slot = bench.slot(timed=True, integrated=True)
    lane = GpuLane(slot, manifest, bench.parameters)
    bench.cuda.copies_in.clear()
    lane.start([admit(tiny_frame(0, 250), manifest.input)])
    lane.wait()
    assert lane.read()[0].anomaly_score == pytest.approx(250 / 16)
    assert bench.cuda.copies_in == []
    assert [stage.name for stage in slot.take_stages()] == [PREPARATION, NETWORK, DECODING, COPY_OUT]


def test_events_are_made_for_a_measurement_alone_and_all_is_given_back(
    folder: Path, manifest: Manifest
) -> None:
    bench = Bench(folder, manifest)
    before = len(bench.cuda.events)
    slots = [bench.slot(), bench.slot(timed=True)]
    assert len(bench.cuda.events) > before + 2
    slots.pop().close()
    assert len(bench.cuda.events) == before + 1
    slots.pop().close()
    assert (len(bench.cuda.events), bench.cuda.graphs, bench.cuda.taken) == (before, {}, 0)


def test_a_network_that_does_not_start_is_told_apart_from_no_memory(folder: Path, manifest: Manifest) -> None:
    bench = Bench(folder, manifest)
    for refused in ("execute_async_v3", "set_input_shape"):
        bench.cuda.fails = {refused: ""}
        with pytest.raises(GpuError, match="NETWORK_REFUSED"):
            bench.slot()
    bench.cuda.fails = {"mem_alloc": "CUDA_ERROR_OUT_OF_MEMORY"}
    with pytest.raises(GpuError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        bench.slot()


def test_what_breaks_a_capture_is_told_and_not_that_it_broke(folder: Path, manifest: Manifest) -> None:
    bench = Bench(folder, manifest)
    begin = bench.cuda.begin_capture

    def fails_within(stream: int) -> None:
        begin(stream)
        bench.cuda.fails = {"execute_async_v3": "", "end_capture": "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"}

    setattr(bench.cuda, "begin_capture", fails_within)  # noqa: B010 - a method
    with pytest.raises(GpuError, match="did not start the network"):
        bench.slot()


def test_an_error_on_the_device_ends_the_engine_at_the_next_wait(folder: Path, manifest: Manifest) -> None:
    bench = Bench(folder, manifest)
    slot = bench.slot()
    lane = GpuLane(slot, manifest, bench.parameters)

    def fault() -> Any:
        raise RuntimeError("illegal address")

    bench.cuda.stream(slot.stream).enqueue(fault)

    def run() -> None:
        lane.start([admit(tiny_frame(0), manifest.input)])
        lane.wait()

    with pytest.raises(EngineLostError, match="CUDA_ERROR_LAUNCH_FAILED"):
        run()
