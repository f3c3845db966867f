"""Writes a model folder whole or not at all, in place of an older one."""

import os
import shutil
from pathlib import Path
from typing import Final

import msgspec

from inspector.detect.model.manifest import MANIFEST_NAME, Manifest, OnnxFile, dump_manifest, file_sha256
from inspector.errors import StoreError

ONNX_NAME = "model.onnx"
ENGINES_FOLDER: Final = "engines"  # built of the graph, each for one GPU


def write_model(folder: Path, model: bytes, manifest: Manifest) -> Manifest:
    """Write both files beside `folder`, then swap folders: a reader sees the old or the new, never half of
    one. Between the swap's two renames there is no folder at all; a reader then tries again.

    What a person put beside an older model stays, and so do engines built of the very same graph. Returns
    the manifest with the file's hash. Raises StoreError when the disk refuses.
    """
    try:
        return _write(folder, model, manifest)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror or error})") from error


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest alone, at once: a reader sees the old or the new. Raises StoreError."""
    path = folder / MANIFEST_NAME
    new = path.with_name(f".{path.name}.new-{os.getpid()}")
    try:
        try:
            _write_through(new, dump_manifest(manifest).encode())
            new.replace(path)
            _sync_folder(folder)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({error.strerror or error})") from error


def _write(folder: Path, model: bytes, manifest: Manifest) -> Manifest:
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    new.mkdir()
    try:
        _write_through(new / ONNX_NAME, model)
        named = OnnxFile(file=ONNX_NAME, sha256=file_sha256(new / ONNX_NAME))
        manifest = msgspec.structs.replace(manifest, onnx=named)
        _write_through(new / MANIFEST_NAME, dump_manifest(manifest).encode())
        if folder.is_dir():
            _keep_notes(folder, new, named.sha256)
        _sync_folder(new)
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
                shutil.rmtree(old)
    return manifest


def _keep_notes(old: Path, new: Path, sha256: str) -> None:
    """Copy what a person put beside the model; it outlives a new one. Engines are of one graph only."""
    left = {ONNX_NAME, MANIFEST_NAME}
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
