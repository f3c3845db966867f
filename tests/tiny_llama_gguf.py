"""Tiny Llama and Qwen2 models of random weights, as GGUF files, to try adapters on."""

from pathlib import Path

import gguf
import numpy as np
from tiny_gguf import byte_tokens

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS = 64, 128, 2, 4, 2
_HEAD_DIM = WIDTH // HEADS
_SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LINEARS = {
    "attn_q": (WIDTH, WIDTH),
    "attn_k": (KV_HEADS * _HEAD_DIM, WIDTH),
    "attn_v": (KV_HEADS * _HEAD_DIM, WIDTH),
    "attn_output": (WIDTH, WIDTH),
    "ffn_gate": (HIDDEN, WIDTH),
    "ffn_up": (HIDDEN, WIDTH),
    "ffn_down": (WIDTH, HIDDEN),
}
"""(outputs, inputs) of each linear layer."""


def write_tiny(path: Path, architecture: str, seed: int = 1, context_tokens: int = 4096) -> Path:
    """Write a `llama` (output tied to the embedding) or a `qwen2` (biases, an output of its own) in 8 bit."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"tiny {architecture}")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if architecture == "llama":
        writer.add_rope_dimension_count(_HEAD_DIM)
    tokens = [*byte_tokens(), *_SPECIAL]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm" if architecture == "llama" else "qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * len(_SPECIAL))
    writer.add_token_merges(["a n", "t h"])
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    writer.add_pad_token_id(256)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_TEMPLATE)

    def eight_bit(name: str, rows: int, columns: int, spread: float = 0.15) -> None:
        values = rng.normal(0, spread, (rows, columns)).astype(np.float32)
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quantize(values, kind), raw_dtype=kind)

    def norm(name: str) -> None:
        writer.add_tensor(name, rng.uniform(0.8, 1.2, WIDTH).astype(np.float32))

    eight_bit("token_embd.weight", len(tokens), WIDTH, 0.5)
    norm("output_norm.weight")
    if architecture == "qwen2":
        eight_bit("output.weight", len(tokens), WIDTH, 0.5)
    for layer in range(LAYERS):
        norm(f"blk.{layer}.attn_norm.weight")
        norm(f"blk.{layer}.ffn_norm.weight")
        for name, (outputs, inputs) in LINEARS.items():
            eight_bit(f"blk.{layer}.{name}.weight", outputs, inputs)
            if architecture == "qwen2" and name in ("attn_q", "attn_k", "attn_v"):
                bias = rng.normal(0, 0.1, outputs).astype(np.float32)
                writer.add_tensor(f"blk.{layer}.{name}.bias", bias)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
