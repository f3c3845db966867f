"""Files that are whole, or not there: engines, caches, reports."""

import os
from pathlib import Path


def write_whole(path: Path, *parts: bytes) -> None:
    """Write `parts` under a temporary name (PATH.PID) first, in a folder that is made. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as stream:
            stream.writelines(parts)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)  # a full disk
