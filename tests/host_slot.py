"""A `GpuSlot` on the host: our kernels compiled by cc, the network by OpenVINO.

All that the GPU engine does beside CUDA itself runs in it: admission, preparation, batches, decoding
on the "device", errors. `fails` makes the next calls fail as CUDA would.
"""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from host_kernels import compile_for_host

from inspector.detect.cuda.batch_graph import with_batch_axis
from inspector.detect.cuda.decode_plan import WORK_INTS_PER_CELL, Answer, DecodeParameters
from inspector.detect.cuda.gpu_slot import Admitted, GpuError, Outputs
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching.graph import SCORE, SCORE_MAP


class HostNetwork:
    """What all slots share."""

    def __init__(
        self, onnx_path: Path, layout: InputLayout, parameters: DecodeParameters, folder: Path
    ) -> None:
        model = with_batch_axis(onnx.load(onnx_path))
        self.run = CpuRun(model.SerializeToString(), "host", threads=1)
        self.layout = layout
        self.parameters = parameters
        self.prepare = compile_for_host("prepare", folder)
        self.decode = compile_for_host("decode", folder)


class HostSlot:
    """Memory of one batch, as on the device."""

    def __init__(self, network: HostNetwork, max_batch: int) -> None:
        layout = network.layout
        self._network = network
        self._input = np.zeros((max_batch, layout.height_px, layout.width_px, layout.channels), np.uint8)
        self._answers = [Answer() for _ in range(max_batch)]
        self._batch = 0
        self.fails: dict[str, str] = {}

    def _fail(self, where: str) -> None:
        if where in self.fails:
            raise GpuError(self.fails[where], f"{where} failed")

    def upload(self, place: int, admitted: Admitted) -> None:
        self._fail("upload")
        image = np.ascontiguousarray(admitted.frame.image)
        target = self._input[place].ctypes.data
        self._network.prepare.prepare(
            ctypes.c_void_p(image.ctypes.data), ctypes.c_void_p(target), ctypes.byref(admitted.prepare)
        )

    def run(self, batch: int) -> None:
        self._fail("run")
        self._batch = batch

    def wait(self) -> None:
        self._fail("wait")
        outputs = self._network.run(self._input[: self._batch])
        cells = self._network.parameters.rows * self._network.parameters.columns
        work = np.zeros(WORK_INTS_PER_CELL * cells, np.int32)
        for index in range(self._batch):
            score_map = np.ascontiguousarray(outputs[SCORE_MAP][index])
            self._network.decode.decode(
                ctypes.byref(ctypes.c_float(outputs[SCORE][index])), ctypes.c_void_p(score_map.ctypes.data),
                ctypes.byref(self._network.parameters), ctypes.c_void_p(work.ctypes.data),
                ctypes.byref(self._answers[index]),
            )  # fmt: skip

    def answers(self, batch: int) -> Sequence[Answer] | Sequence[Outputs]:
        return self._answers[:batch]
