"""The CPU engine: OpenVINO, several inference requests in flight."""

import ctypes
import queue
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from inspector.clock import Clock
from inspector.detect.decode import decode_anomaly_map
from inspector.detect.engine import Ticket
from inspector.detect.frame_context import frame_context
from inspector.detect.graph import SCORE, SCORE_MAP
from inspector.detect.manifest import Manifest
from inspector.detect.prepare import NetworkInput, prepare
from inspector.errors import DataError, InvariantError, ModelError
from inspector.types import Frame, FrameContext, FrameResult, ResultStatus


class _Slot:
    """One inference request and what became of its last run."""

    def __init__(self, request: Any) -> None:
        self.request = request
        self.done = threading.Event()
        self.failed = False

    def start(self, pixels: NetworkInput) -> None:
        self.done.clear()
        self.request.set_input_tensor(_share(pixels))
        self.request.start_async()

    def wait(self) -> None:
        """Block until the run is over. OpenVINO waits outside Python's lock."""
        try:
            self.request.wait()
            self.failed = False
        except RuntimeError:
            self.failed = True
        self.done.set()


class _Waiter:
    """The thread that waits for runs, in the order they were started, and tells of each.

    Not OpenVINO's own callbacks: with them, destroying a request soon after its run was seen to
    hang (docs/decisions/004), most likely on Python's lock, which the callback's thread needs.
    """

    def __init__(self, on_ready: Callable[[], None]) -> None:
        self._on_ready = on_ready
        self._started: queue.SimpleQueue[_Slot | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="openvino-wait", daemon=True)
        self._thread.start()

    def watch(self, slot: _Slot) -> None:
        self._started.put(slot)

    def stop(self) -> None:
        """Return when all that is watched is over and the thread has ended."""
        self._started.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (slot := self._started.get()) is not None:
            slot.wait()
            self._on_ready()


@dataclass(frozen=True, slots=True)
class _Job:
    """One frame on its way. `slot` is None for a frame that was refused."""

    ticket: Ticket
    frame: Frame
    pixels: NetworkInput | None  # keeps what OpenVINO reads alive
    slot: _Slot | None
    started_ns: int
    reason: str = ""  # why it was refused
    context: FrameContext | None = None

    @property
    def done(self) -> bool:
        return self.slot is None or self.slot.done.is_set()


class OpenVinoEngine:
    """An `Engine` on the CPU. float32 throughout: thresholds are the same on every machine.

    Raises ModelError when OpenVINO cannot load the model.
    """

    def __init__(
        self,
        manifest: Manifest,
        onnx_path: Path,
        *,
        threads: int,
        requests_in_flight: int,
        clock: Clock,
        on_ready: Callable[[], None],
        cache_dir: Path | None = None,
    ) -> None:
        self._manifest = manifest
        self._clock = clock
        self._on_ready = on_ready
        options: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": "f32",  # else silently bf16 where the CPU has it
            "EXECUTION_MODE_HINT": "ACCURACY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,  # frames one after the other: the shortest time for each
            "ENABLE_CPU_PINNING": False,  # other services share these cores
            "ENABLE_MMAP": True,
        }
        if cache_dir is not None:
            options["CACHE_DIR"] = str(cache_dir)
        try:
            self._compiled: Any = ov.Core().compile_model(str(onnx_path), "CPU", options)
            requests = [self._compiled.create_infer_request() for _ in range(requests_in_flight)]
            for request in requests:
                # The first inference allocates; do it before the first part comes.
                request.infer({0: np.zeros(self._input_shape(), dtype=np.uint8)})
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ModelError(f"{onnx_path}: OpenVINO cannot load it ({reason})") from error
        self._jobs: deque[_Job] = deque()
        self._next = 0
        self._closed = False
        self._idle = [_Slot(request) for request in requests]
        self._waiter = _Waiter(on_ready)

    @property
    def manifest(self) -> Manifest:
        return self._manifest

    @property
    def free_slots(self) -> int:
        return len(self._idle)

    def submit(self, frame: Frame) -> Ticket:
        if self._closed or not self._idle:
            raise InvariantError("submit: the engine is closed or has no free slot")
        ticket = Ticket(self._next)
        self._next += 1
        started_ns = self._clock.now_ns()
        try:
            pixels = prepare(frame, self._manifest.input)
        except DataError as error:
            self._jobs.append(_Job(ticket, frame, None, None, started_ns, str(error)))
            self._on_ready()
            return ticket
        slot = self._idle.pop()
        slot.start(pixels)
        context = frame_context(pixels)  # while the network runs, so that it costs the verdict no time
        self._jobs.append(_Job(ticket, frame, pixels, slot, started_ns, context=context))
        self._waiter.watch(slot)
        return ticket

    def collect(self) -> list[tuple[Ticket, FrameResult]]:
        results = []
        while self._jobs and self._jobs[0].done:
            job = self._jobs.popleft()
            results.append((job.ticket, self._result(job)))
            if job.slot is not None:
                self._idle.append(job.slot)
        return results

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._waiter.stop()
        self._jobs.clear()
        self._idle.clear()
        self._compiled = None

    def _result(self, job: _Job) -> FrameResult:
        status, decoded, reason = ResultStatus.INVALID_FRAME, None, job.reason
        if job.slot is not None and job.slot.failed:
            status, reason = ResultStatus.ENGINE_ERROR, "inference failed"
        elif job.slot is not None:
            score = float(job.slot.request.get_tensor(SCORE).data)
            score_map = job.slot.request.get_tensor(SCORE_MAP).data
            decoded = decode_anomaly_map(score, score_map, self._manifest)
            status = ResultStatus.OK
        meta = job.frame.meta
        return FrameResult(
            camera_id=meta.camera_id,
            frame_id=meta.frame_id,
            exposure_start_ns=meta.exposure_start_ns,
            clock_uncertainty_us=meta.clock_uncertainty_us,
            received_ns=meta.received_ns,
            width_px=meta.width_px,
            height_px=meta.height_px,
            model_sha256=self._manifest.onnx.sha256,
            status=status,
            reason=reason,
            context=job.context,
            p_defect=decoded.p_defect if decoded else None,
            anomaly_score=decoded.anomaly_score if decoded else None,
            detections=decoded.detections if decoded else (),
            heatmap=decoded.heatmap if decoded else None,
            started_ns=job.started_ns,
            finished_ns=self._clock.now_ns(),
        )

    def _input_shape(self) -> tuple[int, int, int, int]:
        layout = self._manifest.input
        return (1, layout.height_px, layout.width_px, layout.channels)


def _share(pixels: NetworkInput) -> Any:
    """An OpenVINO tensor over the same memory.

    OpenVINO's Python API refuses arrays that are read-only, which frames in shared memory are;
    the graph only reads its input, so a second view of the same bytes is safe.
    """
    memory = (ctypes.c_uint8 * pixels.nbytes).from_address(pixels.ctypes.data)
    view: NetworkInput = np.frombuffer(memoryview(memory), dtype=np.uint8).reshape(pixels.shape)
    return ov.Tensor(view, shared_memory=True)
