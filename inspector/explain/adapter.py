"""A LoRA adapter beside the base weights: which file, and whether it was made for them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from inspector.errors import ConfigError, ModelError
from inspector.explain.gguf_header import read_header
from inspector.explain.weights import LocalModel, sha256_of

BASE_KEY = "inspector.base.sha256"
"""The header's key for the SHA-256 of the weights that the adapter was made for."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """`model_sha256` names the weights together with the adapter: the hash of both hashes."""

    path: Path
    model_sha256: str


def resolve_adapter(path: Path, base: LocalModel, base_name: str) -> Adapter:
    """Return the adapter in `path`. `base.sha256` must be known.

    Raises ConfigError for what is no adapter, ModelError for one that was made for other weights.
    """
    header = read_header(path)
    if header.values.get("general.type") != "adapter" or header.values.get("adapter.type") != "lora":
        raise ConfigError(
            f"explainer.adapter {path} is no LoRA adapter; make one with `inspector explain tune`"
        )
    made_for = str(header.values.get(BASE_KEY, ""))
    if made_for != base.sha256:
        raise ModelError(
            f"explainer.adapter {path} was made for weights with SHA-256 {made_for[:12] or 'unknown'}..., "
            f"{base_name} has {base.sha256[:12]}...; make one with `inspector explain tune {base_name}`"
        )
    both = hashlib.sha256(f"{base.sha256}{sha256_of(path)}".encode()).hexdigest()
    return Adapter(path, both)
