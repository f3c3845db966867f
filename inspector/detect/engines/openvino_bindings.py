"""OpenVINO's own classes, without the Python package around them (docs/decisions/051).

That package makes twenty sets of operators, which running a model does not need, and takes longer than the
classes do. A later `import openvino` in the same process gets the whole package as ever.
"""

import importlib
import importlib.util
import sys
from functools import cache
from types import ModuleType
from typing import Any


def _bindings() -> Any:
    if "openvino" in sys.modules:
        return importlib.import_module("openvino._pyopenvino")
    found = importlib.util.find_spec("openvino")
    if found is None or found.submodule_search_locations is None:
        raise ModuleNotFoundError("openvino is not installed; install inspector again")
    package = ModuleType("openvino")  # says where the classes lie, and runs nothing
    package.__path__ = list(found.submodule_search_locations)
    sys.modules["openvino"] = package
    try:
        return importlib.import_module("openvino._pyopenvino")
    finally:
        del sys.modules["openvino"]


ov = _bindings()


@cache
def engine_core() -> Any:
    """The process's own core for engines, never freed.

    With the last core OpenVINO unloads its CPU plugin, and frees the memory that the plugin had made the
    stack of signal handlers: the next signal would be a segmentation fault.
    """
    return ov.Core()


__all__ = ["engine_core", "ov"]
