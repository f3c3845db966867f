"""OpenVINO's own classes, without the Python package around them (docs/decisions/051).

That package makes twenty sets of operators, which running a model does not need, and takes longer than the
classes do. A later `import openvino` in the same process gets the whole package as ever.
"""

import importlib
import importlib.util
import sys
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

__all__ = ["ov"]
