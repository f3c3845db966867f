"""Tiny language models of random weights, as GGUF files: the architecture is real, the words are not."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS = 256, 512, 2, 4, 2
HEAD_DIM = WIDTH // HEADS
_Q4_K = gguf.GGMLQuantizationType.Q4_K
_BLOCK, _BLOCK_BYTES = 256, 144  # weights and bytes of a Q4_K block
_SPECIAL = ("<|endoftext|>", "[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>")
_TEMPLATE = (
    "[gMASK]<sop>{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


def byte_tokens() -> list[str]:
    """The 256 printable stand-ins that byte-level BPE (GPT-2) has for bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte if byte in kept else next(extra)) for byte in range(256)]


def write_glm4(path: Path, seed: int = 1, context_tokens: int = 8192) -> Path:
    """Write a GLM-4 (GLM-4-9B, GLM-4.1V-9B, AutoGLM-Phone-9B) of 2 layers in 4 bit, under 1 MB."""
    rng = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "glm4")
    writer.add_name("tiny glm4")
    writer.add_context_length(context_tokens)
    writer.add_embedding_length(WIDTH)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(HIDDEN)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_key_length(HEAD_DIM)
    writer.add_value_length(HEAD_DIM)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(HEAD_DIM // 2)
    writer.add_rope_freq_base(10000.0)
    tokens = [*byte_tokens(), *_SPECIAL]
    kinds = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * len(_SPECIAL)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("glm4")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(["a n", "t h"])
    writer.add_eos_token_id(256)
    writer.add_pad_token_id(256)
    writer.add_chat_template(_TEMPLATE)

    def norm(name: str) -> None:
        writer.add_tensor(name, np.ones(WIDTH, np.float32))

    def q4_k(name: str, rows: int, columns: int) -> None:
        blocks = rng.integers(0, 256, (rows, columns // _BLOCK, _BLOCK_BYTES), dtype=np.uint8)
        scales = np.full((rows, columns // _BLOCK, 2), 2e-4, np.float16)  # super-block scale and minimum
        blocks[:, :, :4] = scales.view(np.uint8).reshape(rows, columns // _BLOCK, 4)
        packed: Any = blocks.reshape(rows, -1)
        writer.add_tensor(name, packed, raw_dtype=_Q4_K)

    def dense(name: str, rows: int, columns: int) -> None:
        writer.add_tensor(name, rng.normal(0, 0.05, (rows, columns)).astype(np.float16))

    dense("token_embd.weight", len(tokens), WIDTH)
    dense("output.weight", len(tokens), WIDTH)
    norm("output_norm.weight")
    for layer in range(LAYERS):
        block = f"blk.{layer}"
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            norm(f"{block}.{name}.weight")
        q4_k(f"{block}.attn_q.weight", HEADS * HEAD_DIM, WIDTH)
        q4_k(f"{block}.attn_k.weight", KV_HEADS * HEAD_DIM, WIDTH)
        q4_k(f"{block}.attn_v.weight", KV_HEADS * HEAD_DIM, WIDTH)
        q4_k(f"{block}.attn_output.weight", WIDTH, HEADS * HEAD_DIM)
        q4_k(f"{block}.ffn_up.weight", 2 * HIDDEN, WIDTH)  # gate and up in one
        q4_k(f"{block}.ffn_down.weight", WIDTH, HIDDEN)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
