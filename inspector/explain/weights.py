"""Where language models lie on this machine, and whether they are what they should be.

A model is <cache>/models/NAME.gguf with a stamp beside it (NAME.json) that records what was
verified: size, modification time, SHA-256. As long as size and time match, the hash is trusted.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from inspector.errors import ConfigError, ModelError
from inspector.explain.weights_table import TABLE, Weights

_CHUNK_BYTES = 1 << 22
_GGUF_MAGIC = b"GGUF"


@dataclass(frozen=True, slots=True)
class Stamp:
    """What a file was when its hash was last computed."""

    sha256: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A GGUF file on this machine and its hash."""

    path: Path
    sha256: str


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Return $INSPECTOR_CACHE, else $XDG_CACHE_HOME/inspector, else ~/.cache/inspector."""
    environ = os.environ if environ is None else environ
    if environ.get("INSPECTOR_CACHE"):
        return Path(environ["INSPECTOR_CACHE"])
    if environ.get("XDG_CACHE_HOME"):
        return Path(environ["XDG_CACHE_HOME"]) / "inspector"
    return Path.home() / ".cache" / "inspector"


def known(name: str, table: Mapping[str, Weights] = TABLE) -> Weights:
    """Return the table's entry. Raises ConfigError for a name that it does not have."""
    if name not in table:
        raise ConfigError(f"no model is called {name!r}; `inspector models list` shows: {', '.join(table)}")
    return table[name]


def model_path(weights: Weights, cache: Path) -> Path:
    """Return where the model lies, or would."""
    return cache / "models" / f"{weights.name}.gguf"


def is_path(name_or_path: str) -> bool:
    """Return whether the configured model is a file of the user's and not a name of the table."""
    return name_or_path.endswith(".gguf") or os.sep in name_or_path


def resolve(
    name_or_path: str,
    cache: Path | None = None,
    table: Mapping[str, Weights] = TABLE,
    *,
    hashed: bool = True,
) -> LocalModel:
    """Return the model's file and hash. Never fetches anything. Not `hashed`, a file's hash is "".

    Raises ConfigError for an unknown name or a file that is not GGUF, ModelError when a known
    model is not on this machine or is no longer what it was.
    """
    if is_path(name_or_path):
        return _own_file(Path(name_or_path).expanduser(), hashed)
    folder = cache_folder() if cache is None else cache
    if name_or_path not in table and (added := _added(name_or_path, folder)) is not None:
        return added
    weights = known(name_or_path, table)
    path = model_path(weights, folder)
    pull = f"run `inspector models pull {weights.name}`"
    if not path.exists():
        raise ModelError(f"the model {weights.name} is not on this machine; {pull}")
    if not is_verified(weights, path):
        raise ModelError(f"{path} has changed since it was verified; {pull}")
    return LocalModel(path=path, sha256=weights.sha256)


def is_verified(weights: Weights, path: Path) -> bool:
    """Return whether the stamp says that exactly this file has the right hash. Quick."""
    stamp = read_stamp(path)
    return stamp is not None and stamp.sha256 == weights.sha256 and stamp == _stamp_of(path, stamp)


def verify(weights: Weights, path: Path) -> None:
    """Compute the hash of the whole file and record it. Raises ModelError when it is wrong."""
    found = sha256_of(path)
    if found != weights.sha256:
        raise ModelError(
            f"{path} has SHA-256 {found[:12]}..., not {weights.sha256[:12]}...: it is damaged or "
            f"not {weights.title}; remove it and run `inspector models pull {weights.name}`"
        )
    write_stamp(path, found)


def sha256_of(path: Path) -> str:
    """Return the file's SHA-256, lower-case hexadecimal. About 2 s for 1 GB."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def read_stamp(path: Path) -> Stamp | None:
    """Return the stamp of the model at `path`; None when there is none, or an unreadable one."""
    try:
        return Stamp(**json.loads(_stamp_path(path).read_text("ascii")))
    except (OSError, ValueError, TypeError):
        return None


def write_stamp(path: Path, sha256: str) -> None:
    """Record that the file at `path`, as it is now, has this hash. Atomic."""
    stamp = _stamp_of(path, Stamp(sha256=sha256, size_bytes=0, mtime_ns=0))
    temporary = _stamp_path(path).with_suffix(".json.new")
    temporary.write_text(json.dumps(asdict(stamp)), "ascii")
    temporary.replace(_stamp_path(path))


def _stamp_of(path: Path, stamp: Stamp) -> Stamp:
    stat = path.stat()
    return Stamp(sha256=stamp.sha256, size_bytes=stat.st_size, mtime_ns=stat.st_mtime_ns)


def _stamp_path(path: Path) -> Path:
    return path.with_suffix(".json")


def added_models(cache: Path, table: Mapping[str, Weights] = TABLE) -> dict[str, Path]:
    """Return the models that `inspector models add` has put here, by name."""
    found = {path.stem: path for path in sorted((cache / "models").glob("*.gguf"))}
    return {name: path for name, path in found.items() if name not in table and read_stamp(path)}


def _added(name: str, cache: Path) -> LocalModel | None:
    path = added_models(cache, {}).get(name)
    stamp = read_stamp(path) if path is not None else None
    if path is None or stamp is None:
        return None
    if stamp != _stamp_of(path, stamp):
        raise ModelError(f"{path} has changed since it was added; run `inspector models add` again")
    return LocalModel(path=path, sha256=stamp.sha256)


def _own_file(path: Path, hashed: bool) -> LocalModel:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_GGUF_MAGIC))
    except OSError as error:
        raise ConfigError(f"the model {path} cannot be read: {error.strerror}") from error
    if magic != _GGUF_MAGIC:
        raise ConfigError(f"{path} is not a GGUF file")
    return LocalModel(path=path, sha256=sha256_of(path) if hashed else "")
