"""An adapter as a GGUF file, as llama.cpp loads it beside the base weights.

Keys and names of tensors: llama.cpp's src/llama-adapter.cpp and convert_lora_to_gguf.py. What is added to a
layer is alpha / rank * B A. `inspector.base.sha256` is ours: `adapter.resolve_adapter` refuses other weights.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from inspector.errors import ConfigError
from inspector.explain.adapter import BASE_KEY
from inspector.explain.gguf_header import read_header

MAX_BYTES: Final = 20_000_000
"""An adapter is small: it travels with a site's configuration."""

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Lora:
    """`pairs` maps a tensor of the base weights to A (rank, inputs) and B (outputs, rank)."""

    alpha: float
    pairs: Mapping[str, tuple[F32, F32]]


def check_size(base: Path, rank: int) -> None:
    """Raise ConfigError when an adapter of `rank` for the weights `base` would be too large to be kept."""
    header = read_header(base)
    width, hidden = header.number("embedding_length"), header.number("feed_forward_length")
    heads = max(1, header.number("attention.head_count", 1))
    narrow = width // heads * header.number("attention.head_count_kv", heads)
    sides = 2 * (width + width) + 2 * (width + narrow) + 3 * (width + hidden)
    size = header.number("block_count") * 2 * rank * sides
    if size > MAX_BYTES:
        raise ConfigError(
            f"--rank {rank}: the adapter would have {size / 1e6:.0f} MB, {MAX_BYTES / 1e6:.0f} at most; "
            f"take {rank * MAX_BYTES // size}"
        )


def write_lora(path: Path, lora: Lora, base: Path, base_sha256: str, *, title: str, about: str = "") -> None:
    """Write the adapter, in half precision. Atomic. Raises ConfigError when it is larger than MAX_BYTES."""
    try:
        import gguf  # noqa: PLC0415  (of the extra [train], which the rest of this file does without)
    except ImportError as error:
        raise ConfigError("writing an adapter needs gguf: pip install 'inspector-cell[train]'") from error
    partial = path.with_name(f"{path.name}.partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    writer: Any = gguf.GGUFWriter(partial, read_header(base).architecture)
    writer.add_type("adapter")
    writer.add_name(title)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", lora.alpha)
    writer.add_string(BASE_KEY, base_sha256)
    if about:
        writer.add_description(about)
    for name, (first, second) in lora.pairs.items():
        writer.add_tensor(f"{name}.lora_a", np.ascontiguousarray(first, np.float16))
        writer.add_tensor(f"{name}.lora_b", np.ascontiguousarray(second, np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    size = partial.stat().st_size
    if size > MAX_BYTES:
        partial.unlink()
        raise ConfigError(
            f"the adapter has {size / 1e6:.0f} MB, more than {MAX_BYTES / 1e6:.0f}; take a lower --rank"
        )
    os.replace(partial, path)
