"""The CUDA slot over stand-ins for pycuda, the driver and TensorRT: what is enqueued, where, in which order.

Device memory is host memory, kernels are ours compiled by cc, and a captured graph is a list of calls.
"""

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from host_kernels import compile_for_host
from tiny_model import COLUMNS, HEIGHT, ROWS, WIDTH, tiny_frame, write_tiny_model

from inspector.detect.cuda.batch_graph import with_batch_axis
from inspector.detect.cuda.decode_plan import DecodeParameters, decode_parameters
from inspector.detect.cuda.device import Gpu
from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.frame_pool import FramePool
from inspector.detect.cuda.gpu_slot import GpuError, GpuLane, admit
from inspector.detect.cuda.prepare_plan import Prepare
from inspector.detect.cuda.pycuda_slot import Network, PycudaSlot
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.model.decode import decode_anomaly_map
from inspector.detect.model.manifest import InputLayout, Manifest
from inspector.detect.teaching.graph import IMAGE, SCORE, SCORE_MAP
from inspector.types import Frame, FrameMeta

BATCH = 2
Call = Callable[[], object]


class Memory:
    """A device allocation."""

    def __init__(self, size: int) -> None:
        self.bytes = np.zeros(int(size), np.uint8)

    def __int__(self) -> int:
        return int(self.bytes.ctypes.data)


class Stream:
    """Runs what is enqueued at once, or keeps it while a graph is captured."""

    handle = 7

    def __init__(self) -> None:
        self.captured: list[Call] | None = None

    def enqueue(self, call: Call) -> None:
        if self.captured is None:
            call()
        else:
            self.captured.append(call)


class Driver:
    """pycuda.driver and libcuda in one."""

    class Error(Exception):
        pass

    class MemoryError(Error):  # noqa: A001 - pycuda's name
        pass

    def __init__(self) -> None:
        self.stream = Stream()
        self.graphs: list[list[Call]] = []
        self.copies_in: list[int] = []
        self.fails = ""

    def Stream(self) -> Stream:  # noqa: N802 - pycuda's name
        return self.stream

    def pagelocked_empty(self, shape: Any, kind: Any) -> npt.NDArray[Any]:
        return np.zeros(shape, kind)

    def mem_alloc(self, size: int) -> Memory:
        if self.fails == "mem_alloc":
            raise Driver.MemoryError("cuMemAlloc failed: out of memory")
        return Memory(size)

    def current_context(self) -> int:
        return 1

    def use_context(self, context: int) -> None:
        assert context == 1

    def event(self) -> int:
        return 2

    def record(self, event: int, stream: int) -> None:
        assert (event, stream) == (2, 7)

    def wait(self, event: int) -> None:
        assert event == 2

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None:
        del stream
        self.copies_in.append(host)
        self.stream.enqueue(lambda: ctypes.memmove(device, host, size))

    def copy_out(self, host: int, device: int, size: int, stream: int) -> None:
        del stream
        self.stream.enqueue(lambda: ctypes.memmove(host, device, size))

    def begin_capture(self, stream: int) -> None:
        del stream
        self.stream.captured = []

    def end_capture(self, stream: int) -> int:
        del stream
        assert self.stream.captured is not None
        self.graphs.append(self.stream.captured)
        self.stream.captured = None
        return len(self.graphs) - 1

    def launch(self, graph: int, stream: int) -> None:
        del stream
        for call in self.graphs[graph]:
            call()


class Execution:
    """TensorRT's execution context; the network runs in OpenVINO."""

    def __init__(self, driver: Driver, run: CpuRun) -> None:
        self._driver, self._run = driver, run
        self._address: dict[str, int] = {}
        self._shape: tuple[int, ...] = ()
        self.starts = True

    def set_tensor_address(self, name: str, address: int) -> None:
        self._address[name] = address

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> None:
        assert name == IMAGE
        self._shape = shape

    def execute_async_v3(self, stream: int) -> bool:
        assert stream == 7
        shape = self._shape
        self._driver.stream.enqueue(lambda: self._infer(shape))
        return self.starts

    def _infer(self, shape: tuple[int, ...]) -> None:
        pixels = np.frombuffer(ctypes.string_at(self._address[IMAGE], int(np.prod(shape))), np.uint8)
        outputs = self._run(pixels.reshape(shape))
        for name in (SCORE, SCORE_MAP):
            data = np.ascontiguousarray(outputs[name], np.float32)
            ctypes.memmove(self._address[name], data.ctypes.data, data.nbytes)


class Bench:
    """A slot on the stand-ins. `on_device` says whether the score map is decoded there."""

    def __init__(self, folder: Path, manifest: Manifest, on_device: bool = True) -> None:
        self.driver = Driver()
        self.kernels = {name: compile_for_host(name, folder) for name in ("prepare", "decode")}
        model = with_batch_axis(onnx.load(folder / "tiny" / "model.onnx"))
        self.execution = Execution(self.driver, CpuRun(model.SerializeToString(), "tiny", threads=1))
        self.parameters = decode_parameters(ROWS, COLUMNS, manifest) if on_device else None
        self.network = Network(
            image_bytes=WIDTH * HEIGHT, image_shape=(HEIGHT, WIDTH, 1),
            outputs={SCORE: ((), np.float32), SCORE_MAP: ((ROWS, COLUMNS), np.float32)},
            max_batch=BATCH, new_context=lambda: self.execution,
            prepare=self.prepare, decode=self.decode, parameters=self.parameters,
        )  # fmt: skip
        self.manifest = manifest

    def slot(self) -> PycudaSlot:
        gpu = Gpu(driver=self.driver, context=None, name="host", arch="sm_00", integrated=False)
        pool = FramePool(lambda *_: None, lambda _: None)
        slot = PycudaSlot(gpu, cast("DriverApi", self.driver), self.network, pool)
        slot.warm_up()
        return slot

    def prepare(self, source: Any, target: Any, plan: Any, **launch: Any) -> None:
        parameters = Prepare.from_buffer_copy(bytes(plan))
        blocks, threads = launch["grid"], launch["block"]
        assert blocks[0] * threads[0] >= parameters.out_w
        assert blocks[1] * threads[1] >= parameters.out_h
        self.driver.stream.enqueue(
            lambda: self.kernels["prepare"].prepare(
                ctypes.c_void_p(int(source)), ctypes.c_void_p(int(target)), ctypes.byref(parameters)
            )
        )

    def decode(self, *arguments: Any, **launch: Any) -> None:
        """One block an image, as the kernel finds its place by the block's number."""
        score, score_map, plan, work, answers = arguments
        assert len(bytes(plan)) % 8 == 0  # the next argument is a pointer
        parameters = DecodeParameters.from_buffer_copy(bytes(plan))
        cells, answer_bytes = ROWS * COLUMNS, 8 + 20 * 20 + 4 * 64 * 64

        def run() -> None:
            for image in range(launch["grid"][0]):
                self.kernels["decode"].decode(
                    ctypes.c_void_p(int(score) + 4 * image),
                    ctypes.c_void_p(int(score_map) + 4 * cells * image),
                    ctypes.byref(parameters), ctypes.c_void_p(int(work) + 4 * 6 * cells * image),
                    ctypes.c_void_p(int(answers) + answer_bytes * image),
                )  # fmt: skip

        self.driver.stream.enqueue(run)


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
    assert len(bench.driver.graphs) == BATCH  # one captured for each size
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
    bench.driver.fails = "mem_alloc"
    bench.driver.copies_in.clear()
    lane.start([admit(tiny_frame(index), manifest.input) for index in range(2)])
    lane.wait()
    assert len(bench.driver.copies_in) == 2


def test_no_memory_at_the_start_and_a_network_that_does_not_start_are_told_apart(
    folder: Path, manifest: Manifest
) -> None:
    bench = Bench(folder, manifest)
    bench.execution.starts = False
    with pytest.raises(GpuError, match="NETWORK_REFUSED"):
        bench.slot()
    bench.driver.fails = "mem_alloc"
    with pytest.raises(GpuError, match="CUDA_ERROR_OUT_OF_MEMORY"):
        bench.slot()
