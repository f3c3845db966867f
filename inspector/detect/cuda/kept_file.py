"""What only saves time the next time: compiled kernels, timings, TensorRT's runtime cache."""

from pathlib import Path

from inspector import log
from inspector.detect.engines.whole_file import write_whole


def kept(path: Path | None) -> bytes:
    """What was kept at `path`; b"" where there is nothing that can be read."""
    try:
        return path.read_bytes() if path else b""
    except FileNotFoundError:
        return b""
    except OSError as error:
        log.get().warning("cache cannot be read", file=str(path), cause=error.strerror)
        return b""


def keep(path: Path, data: bytes) -> None:
    """A full disk or a folder that cannot be written costs time, and a line in the log."""
    try:
        write_whole(path, data)
    except OSError as error:
        log.get().warning("cache cannot be written", file=str(path), cause=error.strerror)
