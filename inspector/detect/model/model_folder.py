"""Writes a model folder whole or not at all, in place of an older one."""

import ctypes
import errno
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from inspector.detect.model.manifest import MANIFEST_NAME, Manifest, OnnxFile, dump_manifest, file_sha256
from inspector.errors import StoreError

ONNX_NAME = "model.onnx"
ENGINES_FOLDER: Final = "engines"  # built of the graph, each for one GPU
MEMORY_NAME: Final = "taught.npz"  # what `inspector teach --add` needs of what was taught before

_AT_FDCWD: Final = -100  # fcntl.h
_RENAME_EXCHANGE: Final = 2  # linux/fs.h

Writers = Mapping[str, Callable[[BinaryIO], None]]
"""File names, and what writes each."""


def write_model(folder: Path, model: bytes, manifest: Manifest, *, also: Writers | None = None) -> Manifest:
    """Write both files, and those of `also`, beside `folder`, then exchange the folders: a reader, and who
    comes after a power cut, sees the old or the new, never half of one. On file systems that cannot exchange
    there is no folder at all between two renames; a reader then tries again.

    What a person put beside an older model stays, and so do engines built of the very same graph. Returns
    the manifest with the file's hash. Raises StoreError when the disk refuses.
    """
    try:
        return _write(folder, model, manifest, also or {})
    except OSError as error:
        raise StoreError(
            f"{folder}: cannot be written ({error.strerror or error}), and is as it was; make room there, or "
            "give --models another folder"
        ) from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest alone, at once: a reader sees the old or the new. Raises StoreError."""
    path = folder / MANIFEST_NAME
    new = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        try:
            _clear_leftovers(path)
            _write_through(new, dump_manifest(manifest).encode())
            new.replace(path)
            _sync_folder(folder)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error


def _write(folder: Path, model: bytes, manifest: Manifest, also: Writers) -> Manifest:
    folder = folder.resolve()  # a link stays one: what it points to is exchanged
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    folder.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(folder)
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    new.mkdir()
    try:
        _write_through(new / ONNX_NAME, model)
        named = OnnxFile(file=ONNX_NAME, sha256=file_sha256(new / ONNX_NAME))
        manifest = msgspec.structs.replace(manifest, onnx=named)
        _write_through(new / MANIFEST_NAME, dump_manifest(manifest).encode())
        for name, write in also.items():
            with (new / name).open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        if folder.is_dir():
            _keep_notes(folder, new, named.sha256)
        _sync_folder(new)
        if not (folder.is_dir() and _exchange(new, folder)):
            if folder.exists():
                folder.rename(old)
            new.rename(folder)
        _sync_folder(folder.parent)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists():
            if not folder.exists():
                old.rename(folder)
            else:
                _remove(old)
    return manifest


def _clear_leftovers(folder: Path) -> None:  # or a file
    """Remove what a process that was killed while it wrote has left, and bring back what it had put aside."""
    for kind in ("old", "new"):
        for path in folder.parent.glob(f".{folder.name}.{kind}-*"):
            pid = path.name.rpartition("-")[2]
            if not pid.isdigit() or (int(pid) != os.getpid() and Path(f"/proc/{pid}").exists()):
                continue
            if kind == "old" and not folder.exists():
                path.rename(folder)
            else:
                _remove(path)


def _remove(path: Path) -> None:
    """A folder with all in it; of a link only the link."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two folders at once (renameat2(2), Linux); False where the file system cannot."""
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if rename is None:
        return False
    here = ctypes.c_int(_AT_FDCWD)
    return bool(
        rename(here, os.fsencode(one), here, os.fsencode(other), ctypes.c_uint(_RENAME_EXCHANGE)) == 0
    )


def _keep_notes(old: Path, new: Path, sha256: str) -> None:
    """Copy what a person put beside the model; it outlives a new one. Engines are of one graph only."""
    _clear_leftovers(old / MANIFEST_NAME)
    left = {ONNX_NAME, MANIFEST_NAME, MEMORY_NAME}
    engines = old / ENGINES_FOLDER
    if engines.is_dir() and not ((old / ONNX_NAME).is_file() and file_sha256(old / ONNX_NAME) == sha256):
        left.add(ENGINES_FOLDER)
    for path in old.iterdir():
        if path.name in left:
            continue
        if path.is_dir():
            shutil.copytree(path, new / path.name)
        elif path.is_file():
            shutil.copy2(path, new / path.name)


def _write_through(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk only when its folder is (fsync(2))."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
