"""TensorRT or TensorRT for RTX, whichever is installed. The only place that imports them.

Both have one API. TensorRT builds for the GPU of this machine; TensorRT for RTX builds ahead of time,
without a GPU, and its runtime compiles the rest for the device when an engine is first loaded.
"""

import importlib
from dataclasses import dataclass
from typing import Any, Final

from inspector.detect.cuda.engine_file import LibraryName
from inspector.errors import ModelError

_OLDEST: Final = {"tensorrt": (10, 1), "tensorrt_rtx": (1, 2)}  # that lend contexts their memory
_MISSING: Final = (
    "TensorRT is not installed: pip install 'inspector-cell[rtx]' for GeForce and RTX cards, "
    "or tensorrt (10.1 or later) for data-centre GPUs and Jetson"
)


@dataclass(frozen=True, slots=True)
class TensorRt:
    """`api` is the vendor's module, untyped."""

    name: LibraryName
    version: str
    api: Any

    @property
    def ahead_of_time(self) -> bool:
        return self.name == "tensorrt_rtx"

    def new_log(self) -> Any:
        """A logger for the library that keeps warnings and errors in `messages`, oldest first."""
        return _new_log(self.api)


def find_tensorrt(name: LibraryName | None = None) -> TensorRt:
    """The library named, or TensorRT, or TensorRT for RTX. Raises ModelError when there is none, or one that
    is too old.
    """
    wanted: tuple[LibraryName, ...] = (name,) if name else ("tensorrt", "tensorrt_rtx")
    for library in wanted:
        # The package from PyPI that is named tensorrt_rtx is made on installation from these two;
        # they are complete without it.
        for module in (library, f"{library}_bindings"):
            api = _import(module)
            if api is not None and hasattr(api, "Builder"):
                return _new_enough(TensorRt(library, str(api.__version__), api))
    raise ModelError(_MISSING)


def _new_enough(library: TensorRt) -> TensorRt:
    version = tuple(int(part) for part in library.version.split(".")[:2])
    if version < _OLDEST[library.name]:
        oldest = ".".join(map(str, _OLDEST[library.name]))
        raise ModelError(f"{library.name} {library.version} is too old: install {oldest} or later")
    return library


def _new_log(api: Any) -> Any:
    class Log(api.ILogger):  # type: ignore[misc]  # the library's class, which is there only now
        def __init__(self) -> None:
            api.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in {api.ILogger.WARNING, api.ILogger.ERROR, api.ILogger.INTERNAL_ERROR}:
                self.messages.append(message)

    return Log()


def _import(module: str) -> Any:
    if module.endswith("_bindings"):
        _import(module.replace("_bindings", "_libs"))  # loads the libraries that the bindings need
    try:
        return importlib.import_module(module)
    except (ImportError, OSError):
        return None
