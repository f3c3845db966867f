"""Trains the adapter: only the tokens of the answers count. Needs extra [train]."""

import math
import os
import pickle
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch.nn import functional

from inspector.errors import ConfigError
from inspector.explain.tune.lora_file import Lora
from inspector.explain.tune.network import Network
from inspector.explain.tune.tokens import Tokens, common_prefix

_WARM_UP: Final = 0.06  # share of the steps in which the rate rises
_LONGEST_GRADIENT: Final = 1.0
_KEEP_EVERY_S: Final = 60.0
_IGNORED: Final = -100
_CPU_INFO: Final = Path("/proc/cpuinfo")

Told = Callable[[int, int, float], None]
"""Steps done, steps in all, loss of the last (nats a token)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    rank: int = 8
    alpha: float = 16.0
    batch: int = 8
    passes: int = 1
    rate: float = 1e-3
    threads: int = 2
    seed: int = 0


def fit(
    weights: Path,
    found: Sequence[Tokens],
    *,
    options: FitOptions,
    checkpoint: Path,
    about: str,
    told: Told = lambda _done, _total, _loss: None,
) -> Lora:
    """Train on `found` and return the adapter.

    Every minute, and when it is interrupted, `checkpoint` gets all that is needed to go on; a later call
    with the same `about` does, and ends where an undisturbed one does. Raises ConfigError for weights of
    an unknown architecture and for a checkpoint that is none.
    """
    torch.set_num_threads(options.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype = torch.bfloat16 if device == "cuda" else _fast_type()
    network = Network(
        weights, rank=options.rank, alpha=options.alpha, device=device, dtype=dtype, seed=options.seed
    )
    learner = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.0)
    prefix = common_prefix(list(found))
    batches = _batches(found, options)
    step = _resume(checkpoint, about, network, learner)
    kept = time.monotonic()
    try:
        while step < len(batches):
            for group in learner.param_groups:
                group["lr"] = options.rate * _rate(step, len(batches))
            loss = _step(network, learner, [found[n] for n in batches[step]], prefix)
            step += 1
            told(step, len(batches), loss)
            if time.monotonic() - kept > _KEEP_EVERY_S:
                _keep(checkpoint, about, network, learner, step)
                kept = time.monotonic()
    finally:
        _keep(checkpoint, about, network, learner, step)
    return Lora(
        alpha=options.alpha,
        pairs={
            name: (first.detach().cpu().numpy(), second.detach().cpu().numpy())
            for name, (first, second) in network.adapter.items()
        },
    )


def _batches(found: Sequence[Tokens], options: FitOptions) -> list[list[int]]:
    """Return the examples of every step: those of a step are about as long, so that little is padding."""
    made: list[list[int]] = []
    for each in range(options.passes):
        rng = random.Random(f"{options.seed}/{each}")
        order = rng.sample(range(len(found)), len(found))
        order.sort(key=lambda n: len(found[n].asked) + len(found[n].answered))
        batches = [order[at : at + options.batch] for at in range(0, len(order), options.batch)]
        made += rng.sample(batches, len(batches))
    return made


def _rate(step: int, steps: int) -> float:
    """Return the share of the highest rate: a short rise, then a cosine down to a twentieth."""
    rise = min(1.0, (step + 1) / max(1.0, _WARM_UP * steps))
    return rise * (0.05 + 0.95 * (0.5 + 0.5 * math.cos(math.pi * step / steps)))


def _step(network: Network, learner: torch.optim.Optimizer, batch: Sequence[Tokens], prefix: int) -> float:
    device = network.parameters()[0].device
    shared, branches, targets = _arranged(batch, prefix)
    wanted = torch.from_numpy(targets != _IGNORED).to(device)
    logits = network.logits(
        torch.from_numpy(shared).to(device), torch.from_numpy(branches).to(device), wanted
    )
    loss: Any = functional.cross_entropy(logits, torch.from_numpy(targets).to(device)[wanted])
    learner.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), _LONGEST_GRADIENT)
    learner.step()
    return float(loss.detach())


def _arranged(batch: Sequence[Tokens], prefix: int) -> tuple[Any, Any, Any]:
    """Return the shared tokens, the rest of each example padded on the right, and the tokens that count."""
    rows = [(*each.asked[prefix:], *each.answered) for each in batch]
    longest = max(map(len, rows))
    branches = np.zeros((len(rows), longest), np.int64)
    targets = np.full((len(rows), longest), _IGNORED, np.int64)
    for number, (row, each) in enumerate(zip(rows, batch, strict=True)):
        branches[number, : len(row)] = row
        first = len(each.asked) - prefix
        targets[number, first - 1 : len(row) - 1] = each.answered
    return np.array(batch[0].asked[:prefix], np.int64), branches, targets


def _fast_type() -> torch.dtype:
    """Return bfloat16 where the processor multiplies it, five times as fast as float32 (measured)."""
    try:
        flags = _CPU_INFO.read_text("ascii", "replace")
    except OSError:
        return torch.float32
    return torch.bfloat16 if "avx512_bf16" in flags or "amx_bf16" in flags else torch.float32


def _keep(checkpoint: Path, about: str, network: Network, learner: torch.optim.Optimizer, step: int) -> None:
    partial = checkpoint.with_suffix(".partial")
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    state = {"about": about, "step": step, "adapter": network.parameters(), "learner": learner.state_dict()}
    torch.save(state, partial)
    os.replace(partial, checkpoint)


def _resume(checkpoint: Path, about: str, network: Network, learner: torch.optim.Optimizer) -> int:
    """Return the step to go on with; 0 without a checkpoint, or with one of another training."""
    if not checkpoint.exists():
        return 0
    try:
        state = torch.load(checkpoint, weights_only=True, map_location=network.parameters()[0].device)
        if state["about"] != about:
            return 0
        with torch.no_grad():
            for matrix, kept in zip(network.parameters(), state["adapter"], strict=True):
                matrix.copy_(kept)
        learner.load_state_dict(state["learner"])
        return int(state["step"])
    except (
        pickle.UnpicklingError,
        RuntimeError,
        KeyError,
        ValueError,
        TypeError,
        EOFError,
        OSError,
    ) as error:
        raise ConfigError(f"{checkpoint} is no checkpoint of a tuning; remove it to begin anew") from error
