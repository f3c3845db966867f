"""OpenVINO without its conversion tools: these report every import to a statistics server on the network.

An inspection cell calls nobody. `openvino` takes the tools as optional, and starts in half the time without.
"""

import sys
from functools import cache
from typing import Any

_TOOLS = "openvino.tools.ovc"

sys.modules[_TOOLS] = None  # type: ignore[assignment]  # documented: makes the import fail (importlib, sys.modules)
import openvino as ov  # noqa: E402

del sys.modules[_TOOLS]


@cache
def shared_core() -> Any:
    """The process's own ov.Core, never freed, as `openvino_bindings.engine_core`."""
    return ov.Core()


__all__ = ["ov", "shared_core"]
