"""OpenVINO without its conversion tools: these report every import to a statistics server on the network.

An inspection cell calls nobody. `openvino` takes the tools as optional, and starts in half the time without.
"""

import sys

_TOOLS = "openvino.tools.ovc"

sys.modules[_TOOLS] = None  # type: ignore[assignment]  # documented: makes the import fail (importlib, sys.modules)
import openvino as ov  # noqa: E402

del sys.modules[_TOOLS]

__all__ = ["ov"]
