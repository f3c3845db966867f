"""Reads ONNX files for those who change graphs. Engines read the bytes themselves and do without onnx."""

from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

from inspector.errors import ModelError


def load_graph(path: Path) -> onnx.ModelProto:
    """The whole graph, checked by ONNX's own rules. Raises ModelError, one line."""
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error})") from error
    except (DecodeError, onnx.checker.ValidationError, ValueError, TypeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "truncated"
        raise ModelError(
            f"{path}: not a whole ONNX file ({reason[:200]}); copy or export it again"
        ) from error
    return model
