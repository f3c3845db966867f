"""Llama and Qwen2 in torch, from the GGUF file that llama.cpp runs, with a LoRA. Needs extra [train].

The weights are read as they lie in the file (dequantized), in its names and its order of rows, so that an
adapter fits the file without conversion: what is learned makes up for the quantization as well.
LoRA: Hu et al. 2021, arXiv:2106.09685. Rotary positions: Su et al. 2021, arXiv:2104.09864; `llama` files
turn neighbouring pairs of a head, `qwen2` files its halves (llama.cpp, src/llama-model.cpp).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import gguf
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from inspector.errors import ConfigError
from inspector.explain.gguf_header import GgufHeader, read_header

LINEARS: Final = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
ARCHITECTURES: Final = ("llama", "qwen2")
_LARGE: Final = 500_000_000
"""Weights above which activations are computed again rather than kept."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What the header says. `turned` are the dimensions of a head that positions turn."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    epsilon: float
    base: float
    halves: bool


def shape_of(header: GgufHeader, path: Path) -> Shape:
    """Return the shape. Raises ConfigError for an architecture or a variant that this file does not know."""
    kind = header.architecture
    if kind not in ARCHITECTURES:
        raise ConfigError(f"{path.name} is a {kind} model; tuning knows {' and '.join(ARCHITECTURES)}")
    names = {tensor.name for tensor in header.tensors}
    scaling = str(header.values.get(f"{kind}.rope.scaling.type", "none"))
    if "rope_freqs.weight" in names or scaling != "none" or header.number("expert_count"):
        raise ConfigError(f"{path.name}: tuning knows no scaled positions and no experts")
    heads, width = header.number("attention.head_count"), header.number("embedding_length")
    head_dim = header.number("attention.key_length", width // heads)
    if header.number("rope.dimension_count", head_dim) != head_dim:
        raise ConfigError(f"{path.name}: tuning knows no heads that are turned in part")
    return Shape(
        layers=header.number("block_count"),
        width=width,
        heads=heads,
        kv_heads=header.number("attention.head_count_kv", heads),
        head_dim=head_dim,
        epsilon=float(header.values.get(f"{kind}.attention.layer_norm_rms_epsilon", 1e-5)),
        base=float(header.values.get(f"{kind}.rope.freq_base", 10000.0)),
        halves=kind == "qwen2",
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Of the tokens in one row: `prefix` of them, then `count` branches; the cosine and sine of their turns.

    `mask` (L, L) is true where a token of a branch sees another.
    """

    prefix: int
    count: int
    cos: Tensor
    sin: Tensor
    mask: Tensor


class Network:
    """Frozen weights and, beside each linear layer, two thin trainable matrices.

    `adapter` maps a layer's name to (A (rank, inputs), B (outputs, rank)), float32.
    """

    def __init__(
        self, path: Path, *, rank: int, alpha: float, device: str, dtype: torch.dtype, seed: int
    ) -> None:
        self.shape = shape_of(read_header(path), path)
        self._scale = alpha / rank
        self._device, self._dtype = device, dtype
        self._weights: dict[str, Tensor] = {}
        reader: Any = gguf.GGUFReader(path)
        for tensor in reader.tensors:
            values = gguf.dequantize(tensor.data, tensor.tensor_type)
            form = dtype if values.ndim > 1 else torch.float32
            self._weights[tensor.name] = torch.from_numpy(np.array(values)).to(device=device, dtype=form)
        self._large = sum(weight.numel() for weight in self._weights.values()) > _LARGE
        self.adapter: dict[str, tuple[Tensor, Tensor]] = {}
        noise = torch.Generator().manual_seed(seed)
        for layer in range(self.shape.layers):
            for linear in LINEARS:
                name = f"blk.{layer}.{linear}.weight"
                outputs, inputs = self._weights[name].shape
                first = torch.randn(rank, inputs, generator=noise) / inputs**0.5
                second = torch.zeros(outputs, rank)
                self.adapter[name] = (self._trainable(first), self._trainable(second))

    def _trainable(self, values: Tensor) -> Tensor:
        return values.to(self._device).requires_grad_()

    def parameters(self) -> list[Tensor]:
        return [matrix for pair in self.adapter.values() for matrix in pair]

    def logits(self, prefix: Tensor, branches: Tensor, wanted: Tensor) -> Tensor:
        """Return the logits (n, vocabulary), float32, behind the positions that `wanted` (B, L) marks.

        `prefix` (P,) is read once for all of `branches` (B, L), int64, padded on the right: each sees the
        prefix and what of itself comes before. Gradients are those of B whole prompts.
        """
        count, length = branches.shape
        tokens = torch.cat((prefix, branches.reshape(-1)))
        start = torch.arange(len(prefix), device=prefix.device)
        behind = torch.arange(length, device=prefix.device) + len(prefix)
        cos, sin = self._turns(torch.cat((start, behind.repeat(count))))
        mask = torch.ones(length, length, dtype=torch.bool, device=prefix.device).tril()
        layout = _Layout(len(prefix), count, cos, sin, mask)
        state = self._weights["token_embd.weight"][tokens]
        for layer in range(self.shape.layers):
            if self._large:
                state = checkpoint(self._layer, layer, state, layout, use_reentrant=False)
            else:
                state = self._layer(layer, state, layout)
        state = state[len(prefix) :].reshape(count, length, -1)[wanted]
        out = self._weights.get("output.weight", self._weights["token_embd.weight"])
        return functional.linear(self._norm(state, "output_norm.weight"), out).float()

    def _layer(self, layer: int, state: Tensor, layout: _Layout) -> Tensor:
        block = f"blk.{layer}"
        normed = self._norm(state, f"{block}.attn_norm.weight")
        heads = self._attended(block, normed, layout)
        state = state + self._linear(f"{block}.attn_output", heads)
        normed = self._norm(state, f"{block}.ffn_norm.weight")
        gate = functional.silu(self._linear(f"{block}.ffn_gate", normed))
        return state + self._linear(f"{block}.ffn_down", gate * self._linear(f"{block}.ffn_up", normed))

    def _attended(self, block: str, normed: Tensor, layout: _Layout) -> Tensor:
        shape, prefix, count = self.shape, layout.prefix, layout.count
        q = self._turned(self._linear(f"{block}.attn_q", normed).unflatten(-1, (shape.heads, -1)), layout)
        k = self._turned(self._linear(f"{block}.attn_k", normed).unflatten(-1, (shape.kv_heads, -1)), layout)
        v = self._linear(f"{block}.attn_v", normed).unflatten(-1, (shape.kv_heads, -1))
        first = functional.scaled_dot_product_attention(
            *(each[:prefix].transpose(0, 1).unsqueeze(0) for each in (q, k, v)),
            is_causal=True,
            enable_gqa=True,
        )
        # Of each head of keys: the queries of all branches meet the prefix in one product, which is several
        # times faster on a CPU than the fused attention over keys that are repeated for every branch.
        queries = (
            q[prefix:].unflatten(1, (shape.kv_heads, -1)).unflatten(0, (count, -1)).permute(2, 0, 3, 1, 4)
        )
        own_k, own_v = (each[prefix:].unflatten(0, (count, -1)).permute(2, 0, 1, 3) for each in (k, v))
        far_k, far_v = (each[:prefix].transpose(0, 1) for each in (k, v))
        flat = queries.flatten(1, 3)  # (kv heads, B * heads for each * L, dim)
        far = (flat @ far_k.transpose(1, 2)).unflatten(1, queries.shape[1:4])
        near = queries @ own_k.unsqueeze(2).transpose(-1, -2)  # (kv heads, B, heads for each, L, L)
        near = near.masked_fill(~layout.mask, float("-inf"))
        shares = (torch.cat((far, near), dim=-1) / shape.head_dim**0.5).softmax(-1)
        then = (shares[..., :prefix].flatten(1, 3) @ far_v).unflatten(1, queries.shape[1:4])
        then = then + shares[..., prefix:] @ own_v.unsqueeze(2)
        then = then.permute(1, 3, 0, 2, 4).flatten(2).flatten(0, 1)  # (B * L, all heads)
        return torch.cat((first[0].transpose(0, 1).flatten(1), then))

    def _linear(self, name: str, values: Tensor) -> Tensor:
        first, second = self.adapter[f"{name}.weight"]
        small = functional.linear(functional.linear(values, first.to(self._dtype)), second.to(self._dtype))
        bias = self._weights.get(f"{name}.bias")
        made = functional.linear(values, self._weights[f"{name}.weight"]) + self._scale * small
        return made if bias is None else made + bias.to(self._dtype)

    def _norm(self, values: Tensor, name: str) -> Tensor:
        normed = functional.rms_norm(values.float(), (self.shape.width,), eps=self.shape.epsilon)
        return (normed * self._weights[name]).to(self._dtype)

    def _turns(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        half = self.shape.head_dim // 2
        speeds = self.shape.base ** (-torch.arange(half, device=positions.device) / half)
        angles = positions[:, None].float() * speeds  # (tokens, half)
        return angles.cos()[:, None], angles.sin()[:, None]

    def _turned(self, heads: Tensor, layout: _Layout) -> Tensor:
        cos, sin = layout.cos, layout.sin
        values = heads.float()
        if self.shape.halves:
            one, other = values.chunk(2, dim=-1)
            made = torch.cat((one * cos - other * sin, one * sin + other * cos), dim=-1)
        else:
            one, other = values[..., ::2], values[..., 1::2]
            made = torch.stack((one * cos - other * sin, one * sin + other * cos), dim=-1).flatten(-2)
        return made.to(self._dtype)
