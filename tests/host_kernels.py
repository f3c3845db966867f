"""The CUDA kernels compiled for the host, to be compared with the CPU's way."""

import ctypes
import struct
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from inspector.detect.cuda.decode_plan import DecodeParameters
from inspector.detect.cuda.nvrtc import KernelName, kernel_source
from inspector.detect.cuda.prepare_plan import Prepare


def compile_for_host(name: KernelName, folder: Path) -> ctypes.CDLL:
    """Build a kernel's source as C99, without fused multiply-add, as NVRTC builds it for the GPU."""
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(kernel_source(name))
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", str(library), str(source), "-lm"], check=True)
    return ctypes.CDLL(str(library))


class _Arguments(ctypes.Structure):
    """A kernel's parameters as its C compiler lays them out."""

    @classmethod
    def unpack(cls, arguments: tuple[Any, ...]) -> Any:
        """From what pycuda makes of the arguments (`_build_arg_buf`); its `pack` is a copy of Python's."""
        layout = "".join(
            f"{value.itemsize}s" if isinstance(value, np.void) else value.dtype.char for value in arguments
        )
        data = struct.pack(
            layout,
            *(a.tobytes() if isinstance(a, np.void) else a.item() for a in arguments),
        )
        last = getattr(cls, cls._fields_[-1][0])
        assert len(data) == last.offset + last.size, "a launch with a buffer of another size is refused"
        return cls.from_buffer_copy(data.ljust(ctypes.sizeof(cls), b"\0"))


class PrepareArguments(_Arguments):
    _fields_ = (("source", ctypes.c_uint64), ("out", ctypes.c_uint64), ("plan", Prepare))


class DecodeArguments(_Arguments):
    _fields_ = (
        ("score", ctypes.c_uint64), ("score_map", ctypes.c_uint64), ("plan", DecodeParameters),
        ("work", ctypes.c_uint64), ("answers", ctypes.c_uint64),
    )  # fmt: skip
