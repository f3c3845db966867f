"""The CUDA kernels compiled for the host, to be compared with the CPU's way."""

import ctypes
import subprocess
from pathlib import Path

from inspector.detect.cuda.nvrtc import KernelName, kernel_source


def compile_for_host(name: KernelName, folder: Path) -> ctypes.CDLL:
    """Build a kernel's source as C99, without fused multiply-add, as NVRTC builds it for the GPU."""
    source, library = folder / f"{name}.c", folder / f"{name}.so"
    source.write_text(kernel_source(name))
    flags = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-ffp-contract=off", "-shared", "-fPIC"]
    subprocess.run(["cc", *flags, "-o", str(library), str(source), "-lm"], check=True)
    return ctypes.CDLL(str(library))
