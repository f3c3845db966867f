"""Features of images for teach-in, by the very graph that the finished model will hold."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from inspector.detect.engines.openvino_runtime import shared_core
from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching.detail import PER_CELL, add_detail_features
from inspector.detect.teaching.graph import (
    F32,
    GRID_STRIDE,
    IMAGE,
    GraphBuilder,
    backbone,
    finish,
    grid_features,
    network_input,
    project,
)
from inspector.detect.teaching.packing import COARSE_DEPTH, pack, packed_depth, unpack

_FINE_CHANNELS: Final = 64  # of strides 4 and 8
_COARSE_CHANNELS: Final = 112  # of stride 16
_SAMPLE_PATCHES: Final = 60_000  # enough for a 64 x 64 covariance
PROJECTED: Final = "projected"


@dataclass(frozen=True, slots=True)
class Trunk:
    """From the raw image to grid features: sizes in pixels, `network_*` multiples of 16.

    With `coarse` features of stride 16 stand beside those of stride 8, in one array (packing.py).
    """

    layout: InputLayout
    network_width: int
    network_height: int
    backbone_path: Path
    coarse: bool = False

    @property
    def rows(self) -> int:
        return self.network_height // GRID_STRIDE

    @property
    def columns(self) -> int:
        return self.network_width // GRID_STRIDE

    def add_levels(self, graph: GraphBuilder) -> dict[str, str]:
        """Add all nodes up to the backbone's outputs, by name."""
        source = network_input(graph, self.layout, self.network_width, self.network_height)
        levels = ("stride4", "stride8", "stride16") if self.coarse else ("stride4", "stride8")
        return backbone(graph, source, self.layout.channels, self.backbone_path, levels)


@dataclass(frozen=True, slots=True)
class Projection:
    """Standardise, then the strongest principal axes: x -> matrix @ x + bias, (D, C) and (D,).

    `coarse` is that of the coarse features, where there are any.
    """

    matrix: F32
    bias: F32
    coarse: "Projection | None" = None

    @staticmethod
    def fit(features: F32, depth: int) -> "Projection":
        """Fit to features (N, rows, columns, C), which may be packed; unit variance for each channel first.

        `depth` is that of fine features. Deterministic.
        """
        if features.shape[-1] > _FINE_CHANNELS:
            fine, coarse = unpack(features, _FINE_CHANNELS)
            return replace(Projection.fit(fine, depth), coarse=_principal(coarse, COARSE_DEPTH))
        return _principal(features, depth)

    def apply(self, features: F32) -> F32:
        """Features (N, rows, columns, C) to (N, rows, columns, D), packed where they were."""
        if self.coarse is None:
            return np.asarray(features @ self.matrix.T + self.bias, dtype=np.float32)
        fine, coarse = unpack(features, _FINE_CHANNELS)
        return pack(replace(self, coarse=None).apply(fine), self.coarse.apply(coarse))

    @property
    def depth(self) -> int:
        """Features of a cell that `apply` makes."""
        return packed_depth(len(self.bias), 0 if self.coarse is None else len(self.coarse.bias))

    def add_to(self, graph: GraphBuilder, features: str) -> str:
        return project(graph, features, self.matrix, self.bias)


def _principal(features: F32, depth: int) -> Projection:
    """`Projection.fit` of one scale, (..., C)."""
    patches = features.reshape(-1, features.shape[-1])
    rng = np.random.default_rng(0)
    if len(patches) > _SAMPLE_PATCHES:
        patches = patches[rng.choice(len(patches), _SAMPLE_PATCHES, replace=False)]
    values = patches.astype(np.float64)
    mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-3)
    _, axes = np.linalg.eigh(np.cov(((values - mean) / deviation).T))
    matrix = axes[:, ::-1][:, :depth].T / deviation
    return Projection(matrix.astype(np.float32), (-(matrix @ mean)).astype(np.float32))


def extract(
    trunk: Trunk,
    images: Iterable[npt.NDArray[np.uint8]],
    *,
    threads: int,
    projection: Projection | None = None,
) -> Iterator[F32]:
    """Features of each image, (rows, columns, C or D), one after the other."""
    graph = GraphBuilder()
    outputs = _add_features(graph, trunk.add_levels(graph), trunk, projection)
    return (features for (features,) in _each(graph, outputs, trunk, images, threads))


def feature_graph(trunk: Trunk) -> bytes:
    """The serialised graph from the raw image to its features, before any projection."""
    graph = GraphBuilder()
    outputs = _add_features(graph, trunk.add_levels(graph), trunk, None)
    return bytes(finish(graph, trunk.layout, outputs, "features").SerializeToString())


def _add_features(
    graph: GraphBuilder, levels: dict[str, str], trunk: Trunk, projection: Projection | None
) -> dict[str, tuple[int, ...]]:
    """The output's name and shape."""
    output = grid_features(graph, levels)
    coarse = levels.get("stride16")
    channels = packed_depth(_FINE_CHANNELS, _COARSE_CHANNELS if coarse else 0)
    if projection is not None:
        output = projection.add_to(graph, output)
        channels = projection.depth
        if coarse and projection.coarse is not None:
            coarse = projection.coarse.add_to(graph, coarse)
    if coarse:
        spread = graph.add("DepthToSpace", coarse, blocksize=2)
        output = graph.add("Concat", output, spread, axis=1)
    if coarse or projection is not None:
        output = graph.add("Identity", output, name=PROJECTED)
    return {output: (1, channels, trunk.rows, trunk.columns)}


def extract_detail(trunk: Trunk, images: Iterable[npt.NDArray[np.uint8]], *, threads: int) -> Iterator[F32]:
    """Features of each image at half the cell size, (2 rows, 2 columns, C), one after the other."""
    graph = GraphBuilder()
    outputs = _add_detail(graph, trunk.add_levels(graph), trunk)
    return (detail for (detail,) in _each(graph, outputs, trunk, images, threads))


def extract_both(
    trunk: Trunk,
    images: Iterable[npt.NDArray[np.uint8]],
    *,
    threads: int,
    projection: Projection | None = None,
) -> Iterator[tuple[F32, F32]]:
    """What `extract` and `extract_detail` give, in one pass."""
    graph = GraphBuilder()
    levels = trunk.add_levels(graph)
    outputs = _add_features(graph, levels, trunk, projection) | _add_detail(graph, levels, trunk)
    return ((features, detail) for features, detail in _each(graph, outputs, trunk, images, threads))


def _add_detail(graph: GraphBuilder, levels: dict[str, str], trunk: Trunk) -> dict[str, tuple[int, ...]]:
    """The output's name and shape."""
    output = add_detail_features(graph, levels)
    return {output: (1, 64, trunk.rows * PER_CELL, trunk.columns * PER_CELL)}


def _each(
    graph: GraphBuilder,
    outputs: dict[str, tuple[int, ...]],
    trunk: Trunk,
    images: Iterable[npt.NDArray[np.uint8]],
    threads: int,
) -> Iterator[list[F32]]:
    """The outputs of each image, (rows, columns, channels), in their order.

    The next image is read, or made, on a thread of its own meanwhile.
    """
    model = finish(graph, trunk.layout, outputs, "features")
    compiled = compile_bytes(model.SerializeToString(), threads)
    source = iter(images)
    with ThreadPoolExecutor(1) as aside:
        coming = aside.submit(next, source, None)
        while (image := coming.result()) is not None:
            coming = aside.submit(next, source, None)
            values = compiled({IMAGE: image[None]})
            yield [np.ascontiguousarray(values[name][0].transpose(1, 2, 0)) for name in outputs]


def compile_bytes(model: bytes, threads: int) -> Callable[[dict[str, Any]], Any]:
    """Compile an ONNX model with the same precision as the engine has."""
    core = shared_core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled: Callable[[dict[str, Any]], Any] = core.compile_model(core.read_model(model), "CPU", options)
    return compiled
