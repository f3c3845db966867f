"""One slot of the GPU engine: what it needs of a device, and the logic on top, without CUDA."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy.typing as npt

from inspector.detect.cuda.decode_plan import Answer, DecodeParameters, decoded_answer
from inspector.detect.cuda.prepare_plan import Prepare, Target, make_prepare
from inspector.detect.engines.engine_errors import EngineLostError, RunError
from inspector.detect.engines.prepare import check_frame
from inspector.detect.engines.prepare import prepare as network_input
from inspector.detect.frame_context import frame_context
from inspector.detect.model.decode import Decoded, decode
from inspector.detect.model.manifest import InputLayout, Manifest
from inspector.errors import ModelError
from inspector.types import Frame, FrameContext

Outputs = Mapping[str, npt.NDArray[Any]]


class GpuError(ModelError):
    """A call of CUDA or TensorRT failed. `code` is CUDA's name of it, or one of ours."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{text} ({code})")
        self.code = code


NETWORK_REFUSED: Final = "NETWORK_REFUSED"
_PASSING: Final = frozenset(
    {NETWORK_REFUSED, "CUDA_ERROR_INVALID_VALUE", "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"}
    | {"CUDA_ERROR_NOT_SUPPORTED", "CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED"}
)


def engine_error(error: GpuError) -> RunError | EngineLostError:
    """What an error means for the engine.

    Few leave the context usable. After the others (illegal address, launch failure, ECC, lost device)
    every later call fails too: "the process must be terminated and relaunched" (CUDA driver API,
    CUresult). Out of memory is among them: memory is taken once, at the start, and never here.
    """
    if error.code in _PASSING:
        return RunError(str(error))
    return EngineLostError(f"GPU: {error}")


@dataclass(frozen=True, slots=True)
class Admitted:
    """A frame that the model takes. `as_is`: its bytes are the network's input already."""

    frame: Frame
    prepare: Prepare
    as_is: bool


def admit(frame: Frame, layout: InputLayout) -> Admitted:
    """Check a frame as the CPU engine does, without touching its pixels. Raises DataError."""
    check_frame(frame, layout)
    meta, image = frame.meta, frame.image
    size = (meta.width_px, meta.height_px)
    stride = image.nbytes // image.shape[0]  # of the slot's copy, where the camera pads its lines
    prepare = make_prepare(meta.pixel_format, size, stride, None, Target.of(layout))
    as_is = meta.pixel_format == layout.pixel_format and image.flags.c_contiguous
    return Admitted(frame, prepare, as_is)


def look(admitted: Admitted, layout: InputLayout) -> FrameContext:
    """Light and focus of what the network sees, as the CPU engine measures them.

    The CPU converts colours for it while the GPU computes; nothing where the camera's format is the
    network's.
    """
    return frame_context(network_input(admitted.frame, layout))


class GpuSlot(Protocol):
    """A stream with its buffers, event and execution context. All methods raise GpuError.

    `upload` and `run` only enqueue; nothing waits but `wait`.
    """

    def upload(self, place: int, admitted: Admitted) -> None:
        """Copy a frame to the device and prepare it as number `place` of the batch."""
        ...

    def run(self, batch: int) -> None:
        """Enqueue network, decoding and the copy out, and mark the end."""
        ...

    def wait(self) -> None:
        """Block until the end is reached; from any thread."""
        ...

    def answers(self, batch: int) -> Sequence[Answer] | Sequence[Outputs]:
        """What came out for each image: decoded on the device, or the network's outputs."""
        ...


class GpuLane:
    """A `Lane` of the slot pipeline on a GPU slot."""

    def __init__(self, slot: GpuSlot, manifest: Manifest, parameters: DecodeParameters | None) -> None:
        self._slot = slot
        self._manifest = manifest
        self._parameters = parameters
        self._batch = 0

    def start(self, inputs: Sequence[Admitted]) -> None:
        self._batch = len(inputs)
        self._translated(lambda: self._enqueue(inputs))

    def wait(self) -> None:
        self._translated(self._slot.wait)

    def read(self) -> list[Decoded]:
        try:
            return [self._decoded(answer) for answer in self._slot.answers(self._batch)]
        except GpuError as error:
            raise engine_error(error) from error
        except ModelError as error:
            raise RunError(str(error)) from error

    def _enqueue(self, inputs: Sequence[Admitted]) -> None:
        for place, admitted in enumerate(inputs):
            self._slot.upload(place, admitted)
        self._slot.run(len(inputs))

    def _decoded(self, answer: Answer | Outputs) -> Decoded:
        if isinstance(answer, Answer):
            assert self._parameters is not None
            return decoded_answer(answer, self._parameters, self._manifest)
        return decode(answer, self._manifest)

    @staticmethod
    def _translated(call: Callable[[], None]) -> None:
        try:
            call()
        except GpuError as error:
            raise engine_error(error) from error
