"""Whether a language model fits, before it is loaded: weights, cache, image tokens, work space. Pure.

The cache holds keys and values of every layer for every token, 16 bit each. The work space is
llama.cpp's: the logits of a batch, and a few activations of its widest layer. What is left, of the 250 MB
that a process with 1.5 B weights and 2048 tokens was seen to take beside them (record 006), is the runtime.
"""

from dataclasses import dataclass

from inspector.errors import ConfigError
from inspector.explain.gguf_header import GgufHeader

MIB = 1 << 20
BATCH_TOKENS = 32
_CACHE_BYTES = 2  # f16
_ACTIVATIONS = 8  # of the widest layer, f32, live at the same time
_RUNTIME_BYTES = 160 * MIB  # Python, the libraries, tables of a vocabulary of 150 000 words
_GPU_RESERVE = 0.08
"""What a driver, a context and fragmentation take of a GPU's memory."""
_RAM_RESERVE = 0.1


@dataclass(frozen=True, slots=True)
class Shape:
    """What decides a model's memory. `layer_bytes` is one block's weights, `head_bytes` output and norm."""

    weights_bytes: int
    layers: int
    layer_bytes: int
    head_bytes: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    widest: int
    projector_bytes: int = 0
    image_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Bytes of each thing; `gpu_layers` as llama.cpp counts them: the blocks, then the output."""

    weights_bytes: int
    cache_bytes: int
    work_bytes: int
    projector_bytes: int
    context_tokens: int
    image_tokens: int
    gpu_layers: int
    gpu_bytes: int
    ram_bytes: int
    fits: bool

    @property
    def total_bytes(self) -> int:
        return self.weights_bytes + self.cache_bytes + self.work_bytes + self.projector_bytes


def shape_of(header: GgufHeader, *, projector_bytes: int = 0, image_tokens: int = 0) -> Shape:
    """Return the shape of a model from its file. Raises ConfigError for one that is no language model."""
    layers = header.number("block_count")
    heads = header.number("attention.head_count")
    width = header.number("embedding_length")
    if min(layers, heads, width) <= 0:
        raise ConfigError(
            f"the {header.architecture or 'unknown'} model is no language model that can be planned"
        )
    blocks = sum(tensor.size_bytes for tensor in header.tensors if tensor.name.startswith("blk."))
    embedding = sum(tensor.size_bytes for tensor in header.tensors if tensor.name.startswith("token_embd"))
    head = sum(tensor.size_bytes for tensor in header.tensors if tensor.name.startswith("output"))
    tied = not any(tensor.name == "output.weight" for tensor in header.tensors)
    tokens = header.values.get("tokenizer.ggml.tokens", 0)
    return Shape(
        weights_bytes=sum(tensor.size_bytes for tensor in header.tensors),
        layers=layers,
        layer_bytes=blocks // layers,
        head_bytes=head + (embedding if tied else 0),
        kv_heads=header.number("attention.head_count_kv", heads),
        head_dim=header.number("attention.key_length", width // heads),
        vocabulary=int(tokens) if isinstance(tokens, int) else 0,
        widest=max(width, header.number("feed_forward_length")),
        projector_bytes=projector_bytes,
        image_tokens=image_tokens,
    )


def plan(shape: Shape, context_tokens: int, ram_bytes: int, gpu_bytes: int = 0, images: int = 0) -> Plan:
    """Return what the model takes with `context_tokens` of text and `images` images beside them.

    As many layers as fit go to the GPU, the cache of a layer with it. Mapped weights count as RAM,
    since a model whose pages are thrown out answers too late.
    """
    image_tokens = images * shape.image_tokens
    tokens = context_tokens + image_tokens
    layer_cache = 2 * shape.kv_heads * shape.head_dim * _CACHE_BYTES * tokens
    cache = layer_cache * shape.layers
    work = 4 * BATCH_TOKENS * (shape.vocabulary + _ACTIVATIONS * shape.widest)
    room = int(gpu_bytes * (1.0 - _GPU_RESERVE)) - work - (shape.projector_bytes if images else 0)
    layers = max(0, min(shape.layers, room // max(1, shape.layer_bytes + layer_cache))) if gpu_bytes else 0
    on_gpu = layers * (shape.layer_bytes + layer_cache)
    if layers == shape.layers and room - on_gpu >= shape.head_bytes:
        layers, on_gpu = layers + 1, on_gpu + shape.head_bytes
    projector = shape.projector_bytes if images else 0
    if layers:
        on_gpu += work + projector
    total = shape.weights_bytes + cache + work + projector
    ram = total - on_gpu + _RUNTIME_BYTES
    return Plan(
        weights_bytes=shape.weights_bytes,
        cache_bytes=cache,
        work_bytes=work,
        projector_bytes=projector,
        context_tokens=context_tokens,
        image_tokens=image_tokens,
        gpu_layers=layers,
        gpu_bytes=on_gpu,
        ram_bytes=ram,
        fits=ram <= ram_bytes * (1.0 - _RAM_RESERVE),
    )
