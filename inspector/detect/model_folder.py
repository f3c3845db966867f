"""Writes a model folder whole or not at all, in place of an older one."""

import os
import shutil
from pathlib import Path

import msgspec

from inspector.detect.manifest import MANIFEST_NAME, Manifest, OnnxFile, dump_manifest, file_sha256
from inspector.errors import StoreError

ONNX_NAME = "model.onnx"


def write_model(folder: Path, model: bytes, manifest: Manifest) -> Manifest:
    """Write both files beside `folder`, then swap folders: a reader sees the old or the new.

    What a person put beside an older model stays. Returns the manifest with the file's hash. Raises
    StoreError when the disk refuses.
    """
    try:
        return _write(folder, model, manifest)
    except OSError as error:
        raise StoreError(f"{folder}: cannot be written ({error.strerror or error})") from error


def _write(folder: Path, model: bytes, manifest: Manifest) -> Manifest:
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.new-{os.getpid()}")
    old = folder.with_name(f".{folder.name}.old-{os.getpid()}")
    new.mkdir()
    try:
        (new / ONNX_NAME).write_bytes(model)
        named = OnnxFile(file=ONNX_NAME, sha256=file_sha256(new / ONNX_NAME))
        manifest = msgspec.structs.replace(manifest, onnx=named)
        (new / MANIFEST_NAME).write_text(dump_manifest(manifest), encoding="utf-8")
        if folder.is_dir():
            _keep_notes(folder, new)
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
        if old.exists():
            if not folder.exists():
                old.rename(folder)
            else:
                shutil.rmtree(old)
    return manifest


def _keep_notes(old: Path, new: Path) -> None:
    """Copy what a person put beside the model; it outlives a new one."""
    for path in old.iterdir():
        if path.is_file() and path.name not in (ONNX_NAME, MANIFEST_NAME):
            shutil.copy2(path, new / path.name)
