"""Engine files: a header that says what a plan is for, and the plan. Checked before TensorRT sees it.

A plan of another GPU, another TensorRT or an older model may load and compute nonsense, or crash the
process; so it is refused here, by name.
"""

import hashlib
import struct
from pathlib import Path
from typing import Final, Literal

import msgspec

from inspector.detect.engines.whole_file import write_whole
from inspector.errors import ModelError

MAGIC: Final = b"INSPENG2"  # 1: plans that may allocate in a run, which a CUDA graph cannot hold
_LENGTH: Final = struct.Struct("<I")
_BODY: Final = len(MAGIC) + hashlib.sha256().digest_size

Precision = Literal["fp32", "fp16", "int8"]
LibraryName = Literal["tensorrt", "tensorrt_rtx"]


class EngineHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`arch` is the compute capability, "sm_89"; `max_batch` the most images of one run."""

    model_sha256: str
    precision: Precision
    arch: str
    library: LibraryName
    library_version: str
    max_batch: int
    plan_bytes: int


class EngineFileError(ModelError):
    """An engine file is damaged, or not for this model, GPU or TensorRT. Build it again."""


def write_engine(path: Path, header: EngineHeader, plan: bytes) -> None:
    """Write header and plan; the file is whole or not there. Raises OSError."""
    text = msgspec.json.encode(header)
    body = _LENGTH.pack(len(text)) + text + plan
    write_whole(path, MAGIC, hashlib.sha256(body).digest(), body)


def read_engine(path: Path) -> tuple[EngineHeader, bytes]:
    """Header and plan of a whole file. Raises EngineFileError."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise EngineFileError(f"{path}: cannot be read ({error.strerror})") from error
    checksum, body = data[len(MAGIC) : _BODY], data[_BODY:]
    if data[: len(MAGIC)] != MAGIC:
        raise EngineFileError(f"{path}: not an engine file of this inspector; build the engine again")
    if len(body) < _LENGTH.size or hashlib.sha256(body).digest() != checksum:
        raise EngineFileError(f"{path}: damaged; build the engine again")
    start = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    try:
        header = msgspec.json.decode(body[_LENGTH.size : start], type=EngineHeader)
    except msgspec.DecodeError as error:
        raise EngineFileError(f"{path}: unknown header ({error}); build the engine again") from error
    return header, body[start:]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What this process can run."""

    model_sha256: str
    precision: Precision
    arch: str
    library: LibraryName
    library_version: str


def check_header(path: Path, header: EngineHeader, wanted: Wanted) -> None:
    """Refuse a plan that is not for this model, precision, GPU and library. Raises EngineFileError."""
    wrong = [
        f"{what} {getattr(header, key)[:16]}, here {getattr(wanted, key)[:16]}"
        for key, what in (
            ("model_sha256", "model"),
            ("precision", "precision"),
            ("arch", "GPU"),
            ("library", "library"),
            ("library_version", "version"),
        )
        if getattr(header, key) != getattr(wanted, key)
    ]
    if wrong:
        raise EngineFileError(
            f"{path}: built for {'; '.join(wrong)}. Build it again with 'inspector engine build'"
        )


def engine_name(wanted: Wanted) -> str:
    """The file's name: one model, precision, GPU and library each have their own."""
    short = "rtx" if wanted.library == "tensorrt_rtx" else "trt"
    return f"{wanted.model_sha256[:12]}-{wanted.precision}-{wanted.arch}-{short}.engine"
