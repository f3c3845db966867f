"""A small network that tells synthetic defects from good parts, beside each cell's Gaussian.

The Gaussian's distance weighs all directions alike; the network learns which residuals defects make
and which a good part's own variation makes (as DRAEM's discriminator does; Zavrtanik et al., 2021).
One network serves all cells. Trained in numpy, in seconds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import F32, GraphBuilder
from inspector.detect.teaching.synthetic import CHANGED, UNCHANGED

WEIGHT: Final = 0.14  # of a logit, against the Mahalanobis distance over sqrt(D)
FLOOR: Final = -6.0  # logits below are all as good; it also keeps scores positive
_HIDDEN: Final = 64
_EPOCHS: Final = 20
_BATCH: Final = 2048
_RATE: Final = 2e-3  # of Adam (Kingma and Ba, 2015); falls along a half cosine
_DECAY: Final = 1e-4
_NOISE: Final = 0.05  # added to inputs of unit variance
_MOST_DEFECT: Final = 80_000  # cells to train on
_MOST_GOOD: Final = 200_000
_MOST_UNCHANGED: Final = 60_000

Epochs = Callable[[int, int], None]
"""(epochs done, of how many)."""


@dataclass(frozen=True, slots=True)
class Discriminator:
    """Layers D -> 64 -> 64 -> 1 with ReLU: weights (inputs, outputs) and biases (outputs,)."""

    weights: tuple[F32, F32, F32]
    biases: tuple[F32, F32, F32]

    @staticmethod
    def fit(
        good: F32, synthetic: F32, change: F32, on_epoch: Epochs = lambda _done, _total: None
    ) -> "Discriminator":
        """Fit to residuals (..., D) of good and of synthetic images, of which `change` (...) in
        grey levels says what was altered. They must be held out from the Gaussian. Deterministic.
        """
        rng = np.random.default_rng(0)
        depth = good.shape[-1]
        cells, altered = synthetic.reshape(-1, depth), change.ravel()
        defect = _some(cells[altered > CHANGED], _MOST_DEFECT, rng)
        kept = _some(cells[altered < UNCHANGED], _MOST_UNCHANGED, rng)
        normal = np.concatenate([_some(good.reshape(-1, depth), _MOST_GOOD, rng), kept])
        inputs = np.concatenate([defect, normal]).astype(np.float32)
        target = np.concatenate([np.ones(len(defect)), np.zeros(len(normal))]).astype(np.float32)
        mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + 1e-6
        inputs = (inputs - mean) / deviation
        layers = _train(inputs, target, rng, on_epoch)
        first = layers[0] / deviation[:, None]
        return Discriminator((first, layers[2], layers[4]), (layers[1] - mean @ first, layers[3], layers[5]))

    def logits(self, residuals: F32) -> F32:
        """Log odds of a synthetic defect, (...), from residuals (..., D)."""
        value = residuals.reshape(-1, residuals.shape[-1])
        for weight, bias in zip(self.weights[:2], self.biases[:2], strict=True):
            value = np.maximum(value @ weight + bias, 0)
        value = value @ self.weights[2] + self.biases[2]
        return np.asarray(value[:, 0].reshape(residuals.shape[:-1]), dtype=np.float32)

    def add_to(self, graph: GraphBuilder, residuals: str) -> str:
        """The same as `logits`, on (P, D) inside the graph. Returns (P, 1)."""
        value = residuals
        for index, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            value = graph.add("MatMul", value, graph.constant(weight))
            value = graph.add("Add", value, graph.constant(bias))
            value = graph.add("Relu", value) if index < 2 else value
        return value


@dataclass(frozen=True, slots=True)
class DiscriminatingScorer:
    """A cell's score: its distance plus WEIGHT times (its logit, at least FLOOR, minus FLOOR)."""

    gaussian: GaussianScorer
    discriminator: Discriminator

    name = "gaussian and discriminator"

    def maps(self, features: F32) -> F32:
        """Scores of each cell, (N, rows, columns), from features (N, rows, columns, D)."""
        maps = []
        for image in features:
            residuals = self.gaussian.residuals(image[None])
            maps.append(combine(residuals, self.discriminator.logits(residuals))[0])
        return np.stack(maps)

    def add_to(self, graph: GraphBuilder, projected: str) -> str:
        """The same as `maps`, on (1, D, rows, columns) inside the graph. Returns P scores."""
        residuals = self.gaussian.add_residuals(graph, projected)
        distance = graph.add("ReduceL2", residuals, axes=[1], keepdims=1)
        logit = graph.add("Max", self.discriminator.add_to(graph, residuals), graph.number(FLOOR))
        bonus = graph.add("Mul", graph.add("Sub", logit, graph.number(FLOOR)), graph.number(WEIGHT))
        return graph.add("Add", distance, bonus)


def combine(residuals: F32, logits: F32) -> F32:
    """Scores (...) from residuals (..., D) and logits (...)."""
    distance = np.linalg.norm(residuals, axis=-1)
    return np.asarray(distance + WEIGHT * (np.maximum(logits, FLOOR) - FLOOR), dtype=np.float32)


def _some(cells: F32, most: int, rng: np.random.Generator) -> F32:
    return cells if len(cells) <= most else cells[rng.choice(len(cells), most, replace=False)]


def _train(
    inputs: F32, target: npt.NDArray[np.float32], rng: np.random.Generator, on_epoch: Epochs
) -> list[F32]:
    """Logistic regression loss, Adam. Returns weight and bias of each layer in turn."""
    depth, count = inputs.shape[1], len(inputs)
    layers = [
        (rng.standard_normal((depth, _HIDDEN)) * np.sqrt(2 / depth)).astype(np.float32),
        np.zeros(_HIDDEN, dtype=np.float32),
        (rng.standard_normal((_HIDDEN, _HIDDEN)) * np.sqrt(2 / _HIDDEN)).astype(np.float32),
        np.zeros(_HIDDEN, dtype=np.float32),
        np.zeros((_HIDDEN, 1), dtype=np.float32),
        np.zeros(1, dtype=np.float32),
    ]
    first = [np.zeros_like(layer) for layer in layers]
    second = [np.zeros_like(layer) for layer in layers]
    step = 0
    for epoch in range(_EPOCHS):
        on_epoch(epoch, _EPOCHS)
        rate = _RATE * 0.5 * (1 + np.cos(np.pi * epoch / _EPOCHS)) + 1e-5
        order = rng.permutation(count)
        for start in range(0, count, _BATCH):
            pick = order[start : start + _BATCH]
            noise = rng.standard_normal((len(pick), depth), dtype=np.float32)
            gradients = _gradients(layers, inputs[pick] + _NOISE * noise, target[pick])
            step += 1
            for index, slope in enumerate(gradients):
                decay = _DECAY if index % 2 == 0 else 0.0  # of weights, not of biases
                gradient = slope + decay * layers[index]
                first[index] += 0.1 * (gradient - first[index])
                second[index] += 0.001 * (gradient**2 - second[index])
                spread = np.sqrt(second[index] / (1 - 0.999**step)) + 1e-8
                layers[index] -= (rate / (1 - 0.9**step) * first[index] / spread).astype(np.float32)
    on_epoch(_EPOCHS, _EPOCHS)
    return layers


def _gradients(layers: list[F32], x: F32, target: npt.NDArray[np.float32]) -> list[F32]:
    a = np.maximum(x @ layers[0] + layers[1], 0)
    b = np.maximum(a @ layers[2] + layers[3], 0)
    logit = (b @ layers[4] + layers[5])[:, 0]
    p = 1 / (1 + np.exp(-np.clip(logit, -60, 60)))
    at_logit = ((p - target) / len(x))[:, None].astype(np.float32)
    at_b = at_logit @ layers[4].T * (b > 0)
    at_a = at_b @ layers[2].T * (a > 0)
    return [
        x.T @ at_a, at_a.sum(axis=0), a.T @ at_b, at_b.sum(axis=0),
        b.T @ at_logit, at_logit.sum(axis=0),
    ]  # fmt: skip
