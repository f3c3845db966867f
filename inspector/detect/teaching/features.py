"""Features of images for teach-in, by the very graph that the finished model will hold."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from inspector.detect.engines.openvino_runtime import ov
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

_SAMPLE_PATCHES: Final = 60_000  # enough for a 64 x 64 covariance
PROJECTED: Final = "projected"


@dataclass(frozen=True, slots=True)
class Trunk:
    """From the raw image to grid features: sizes in pixels, `network_*` multiples of 16."""

    layout: InputLayout
    network_width: int
    network_height: int
    backbone_path: Path

    @property
    def rows(self) -> int:
        return self.network_height // GRID_STRIDE

    @property
    def columns(self) -> int:
        return self.network_width // GRID_STRIDE

    def add_to(self, graph: GraphBuilder) -> str:
        """Add all nodes up to the features, (1, C, rows, columns)."""
        return grid_features(graph, self.add_levels(graph))

    def add_levels(self, graph: GraphBuilder) -> dict[str, str]:
        """Add all nodes up to the backbone's outputs, by name."""
        source = network_input(graph, self.layout, self.network_width, self.network_height)
        return backbone(graph, source, self.layout.channels, self.backbone_path)


@dataclass(frozen=True, slots=True)
class Projection:
    """Standardise, then the strongest principal axes: x -> matrix @ x + bias, (D, C) and (D,)."""

    matrix: F32
    bias: F32

    @staticmethod
    def fit(features: F32, depth: int) -> "Projection":
        """Fit to features (..., C); unit variance for each channel first. Deterministic."""
        patches = features.reshape(-1, features.shape[-1])
        rng = np.random.default_rng(0)
        if len(patches) > _SAMPLE_PATCHES:
            patches = patches[rng.choice(len(patches), _SAMPLE_PATCHES, replace=False)]
        values = patches.astype(np.float64)
        mean, deviation = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-3)
        _, axes = np.linalg.eigh(np.cov(((values - mean) / deviation).T))
        matrix = axes[:, ::-1][:, :depth].T / deviation
        return Projection(matrix.astype(np.float32), (-(matrix @ mean)).astype(np.float32))

    def apply(self, features: F32) -> F32:
        """Features (..., C) to (..., D)."""
        return np.asarray(features @ self.matrix.T + self.bias, dtype=np.float32)

    def add_to(self, graph: GraphBuilder, features: str) -> str:
        return project(graph, features, self.matrix, self.bias)


def extract(
    trunk: Trunk,
    images: Iterable[npt.NDArray[np.uint8]],
    *,
    threads: int,
    projection: Projection | None = None,
) -> Iterator[F32]:
    """Features of each image, (rows, columns, C or D), one after the other."""
    model, output = feature_graph(trunk, projection)
    compiled = compile_bytes(model, threads)
    for image in images:
        value = compiled({IMAGE: image[None]})[output]
        yield np.ascontiguousarray(value[0].transpose(1, 2, 0))


def feature_graph(trunk: Trunk, projection: Projection | None) -> tuple[bytes, str]:
    """The serialised graph from the raw image to its features, and its output's name."""
    graph = GraphBuilder()
    output = trunk.add_to(graph)
    channels = 64
    if projection is not None:
        output = graph.add("Identity", projection.add_to(graph, output), name=PROJECTED)
        channels = projection.matrix.shape[0]
    model = finish(graph, trunk.layout, {output: (1, channels, trunk.rows, trunk.columns)}, "features")
    return bytes(model.SerializeToString()), output


def extract_detail(trunk: Trunk, images: Iterable[npt.NDArray[np.uint8]], *, threads: int) -> Iterator[F32]:
    """Features of each image at half the cell size, (2 rows, 2 columns, C), one after the other."""
    graph = GraphBuilder()
    output = add_detail_features(graph, trunk.add_levels(graph))
    shape = (1, 64, trunk.rows * PER_CELL, trunk.columns * PER_CELL)
    model = finish(graph, trunk.layout, {output: shape}, "detail")
    compiled = compile_bytes(model.SerializeToString(), threads)
    for image in images:
        yield np.ascontiguousarray(compiled({IMAGE: image[None]})[output][0].transpose(1, 2, 0))


def compile_bytes(model: bytes, threads: int) -> Callable[[dict[str, Any]], Any]:
    """Compile an ONNX model with the same precision as the engine has."""
    core = ov.Core()
    options = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads}
    compiled: Callable[[dict[str, Any]], Any] = core.compile_model(core.read_model(model), "CPU", options)
    return compiled
