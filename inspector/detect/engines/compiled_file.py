"""Compiled models on disk: OpenVINO's own form of a model, so that a restarted detector is ready at once.

A file belongs to one model (its hash), one OpenVINO, one kind of CPU and one set of options, all of which
are in its name and again in its header. OpenVINO's cache (CACHE_DIR) knows a model by path and time, does
not look whether a file is whole, and never removes one (docs/decisions/047).
"""

import ctypes
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from inspector.detect.engines.openvino_bindings import engine_core, ov
from inspector.detect.engines.whole_file import write_whole

_MAGIC: Final = b"INSPOV01"
_DIGEST: Final = hashlib.sha256().digest_size
_HEADER: Final = 4096  # bytes; what follows lies on a page of its own, as OpenVINO reads weights in place
_KEPT: Final = 6  # files; models taught again and again leave old ones behind
_CPU_TEXT: Final = 8192  # characters that hold what the first core says
_CPU_KEYS: Final = ("model name", "cpu family", "model", "stepping", "flags", "Features", "CPU part")


class _Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a compiled model is for. Another OpenVINO or CPU may load it and compute nonsense."""

    model_sha256: str
    openvino: str
    cpu: str
    options: str


def compiled_model(
    onnx_path: Path, model_sha256: str, options: Mapping[str, Any], folder: Path | None
) -> tuple[Any, Any]:
    """The compiled model, and what must live as long as it does. Raises RuntimeError, as OpenVINO does.

    With a `folder` it is taken from there; where it is not, or is damaged or of another version, it is
    compiled from `onnx_path` and put there. A folder that cannot be written costs time and nothing else.
    """
    try:
        return _loaded(onnx_path, model_sha256, options, folder)
    finally:
        _give_back()


def _loaded(
    onnx_path: Path, model_sha256: str, options: Mapping[str, Any], folder: Path | None
) -> tuple[Any, Any]:
    core = engine_core()
    if folder is None:
        return core.compile_model(str(onnx_path), "CPU", dict(options)), None
    header = _Header(
        model_sha256=model_sha256,
        openvino=ov.get_version(),
        cpu=_cpu(),
        options=repr(sorted(options.items())),
    )
    name = hashlib.sha256(msgspec.json.encode(header)).hexdigest()
    path = folder / f"{model_sha256[:12]}-{name[:12]}.openvino"
    memory = _read(path, header)
    if memory is not None:
        try:
            # Weights are used where they are: in the page cache, shared by all processes with this model.
            tensor = ov.Tensor(memory, shared_memory=True)
            return core.import_model(tensor, "CPU", dict(options)), (memory, tensor)
        except RuntimeError as error:
            _tell(path, f"OpenVINO does not take it ({str(error).strip().splitlines()[-1]})")
    compiled = core.compile_model(str(onnx_path), "CPU", dict(options))
    stream = io.BytesIO()
    compiled.export_model(stream)
    try:
        _write(path, header, stream.getvalue())
        _remove_old(folder)
    except OSError as error:
        _tell(path, f"cannot be written ({error.strerror}); the next start takes longer")
    return compiled, None


def _read(path: Path, wanted: _Header) -> "np.memmap[Any, np.dtype[np.uint8]] | None":
    """The compiled model's bytes, or None where there are none that are whole and for this process."""
    try:
        with path.open("rb") as stream:
            head = stream.read(_HEADER)
        size = path.stat().st_size
    except FileNotFoundError:
        return None
    except OSError as error:
        _tell(path, f"cannot be read ({error.strerror})")
        return None
    text = msgspec.json.encode(wanted)
    start = len(_MAGIC) + _DIGEST
    if head[: len(_MAGIC)] != _MAGIC or head[start:].rstrip(b"\0") != text or size <= _HEADER:
        _tell(path, "not a compiled model for this machine")
        return None
    # Copy on write: OpenVINO asks for memory that could be written.
    memory = np.memmap(path, dtype=np.uint8, mode="c", offset=_HEADER)
    if hashlib.sha256(memory.data).digest() != head[len(_MAGIC) : start]:
        _tell(path, "damaged")
        return None
    return memory


def _write(path: Path, header: _Header, data: bytes) -> None:
    """Raises OSError."""
    head = _MAGIC + hashlib.sha256(data).digest() + msgspec.json.encode(header)
    write_whole(path, head.ljust(_HEADER, b"\0"), data)


def _remove_old(folder: Path) -> None:
    files = sorted(folder.glob("*.openvino"), key=lambda path: path.stat().st_mtime)
    partial = [path for path in folder.glob("*.openvino.*") if not Path("/proc", path.suffix[1:]).exists()]
    for path in (*files[:-_KEPT], *partial, *folder.glob("*.blob")):  # .blob: of OpenVINO's own cache
        path.unlink(missing_ok=True)


def _give_back() -> None:
    """What compiling took and freed goes back to the system, where the C library can (malloc_trim(3))."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(ctypes.c_size_t(0))


def _cpu() -> str:
    """A hash of what the first core says it can do; the name alone may stand for several generations."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as stream:
            text = stream.read(_CPU_TEXT)
    except OSError:
        return "unknown"
    first = text.split("\n\n", 1)[0].splitlines()
    told = [line for line in first if line.partition(":")[0].strip() in _CPU_KEYS]
    return hashlib.sha256("\n".join(told).encode()).hexdigest()[:16]


def _tell(path: Path, what: str) -> None:
    from inspector import log  # noqa: PLC0415  # seldom needed, and a detector is to be ready at once

    log.get().warning("compiled model cannot be used", file=str(path), cause=what)
