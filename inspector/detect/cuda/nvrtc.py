"""Compiles our kernels for a GPU with NVRTC, NVIDIA's compiler as a library. Needs no GPU."""

import ctypes
import ctypes.util
import hashlib
import importlib.util
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Final, Literal

from inspector.detect.cuda.kept_file import keep, kept
from inspector.errors import ModelError

KernelName = Literal["prepare", "decode"]
KERNELS: Final[tuple[KernelName, KernelName]] = ("prepare", "decode")
# No fused multiply-add: the same figures as on the host, where the kernels are tested.
_OPTIONS: Final = ("--std=c++17", "--fmad=false", "--device-as-default-execution-space")


def kernel_source(name: KernelName) -> str:
    """The CUDA source of a kernel."""
    return (resources.files("inspector.detect.cuda.kernels") / f"{name}.cu").read_text(encoding="utf-8")


def compile_kernel(name: KernelName, arch: str) -> bytes:
    """Compile a kernel to a cubin for `arch` ("sm_89").

    Raises ModelError when NVRTC is not installed or the source does not compile, with its log.
    """
    library = _library()
    program = ctypes.c_void_p()
    source = kernel_source(name).encode()
    _check(
        library,
        library.nvrtcCreateProgram(ctypes.byref(program), source, f"{name}.cu".encode(), 0, None, None),
    )
    options = [f"--gpu-architecture={arch}".encode(), *(option.encode() for option in _OPTIONS)]
    array = (ctypes.c_char_p * len(options))(*options)
    try:
        if library.nvrtcCompileProgram(program, len(options), array) != 0:
            raise ModelError(f"{name}.cu does not compile for {arch}: {_log(library, program)}")
        size = ctypes.c_size_t()
        _check(library, library.nvrtcGetCUBINSize(program, ctypes.byref(size)))
        cubin = ctypes.create_string_buffer(size.value)
        _check(library, library.nvrtcGetCUBIN(program, cubin))
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw


def cached_kernel(name: KernelName, arch: str, cache: Path | None) -> bytes:
    """`compile_kernel`, kept in the folder `cache` under the source's hash; NVRTC takes a second."""
    digest = hashlib.sha256((kernel_source(name) + "".join(_OPTIONS)).encode()).hexdigest()[:16]
    path = cache / f"{name}-{arch}-{digest}.cubin" if cache else None
    if cubin := kept(path):
        return cubin
    cubin = compile_kernel(name, arch)
    if path is not None:
        keep(path, cubin)
    return cubin


def _log(library: ctypes.CDLL, program: ctypes.c_void_p) -> str:
    size = ctypes.c_size_t()
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    text = ctypes.create_string_buffer(max(1, size.value))
    library.nvrtcGetProgramLog(program, text)
    return text.value.decode(errors="replace").strip()


def _check(library: ctypes.CDLL, status: int) -> None:
    if status != 0:
        library.nvrtcGetErrorString.restype = ctypes.c_char_p
        raise ModelError(f"NVRTC: {library.nvrtcGetErrorString(status).decode()}")


def _library() -> ctypes.CDLL:
    for path in _candidates():
        try:
            return ctypes.CDLL(path)
        except OSError:
            continue
    raise ModelError("NVRTC is not installed: pip install nvidia-cuda-nvrtc")


def _candidates() -> Iterator[str]:
    """Where PyPI's packages put it (nvidia/cu13/lib, nvidia/cuda_nvrtc/lib), then the system's."""
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(root).glob("cu*/lib/libnvrtc.so.*"), reverse=True):
            yield str(path)
    yield from ("libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12")
