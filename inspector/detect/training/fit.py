"""Trains the box network with torch on the CPU: from labelled images to weights. Needs extra [train]."""

import io
import os
import pickle
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch.nn import functional

from inspector.detect.teaching.graph import F32
from inspector.detect.training.box_graph import DISTANCES, SCORES, STRIDE, BoxGraph
from inspector.detect.training.targets import Boxes, Pixels, crop, targets
from inspector.errors import ConfigError, StoreError

Progress = Callable[[str, int, int], None]

_PIXEL_MEAN: Final = 127.0  # as graph.network_input
_PIXEL_SCALE: Final = 128.0
_BATCH: Final = 8
_WEIGHT_DECAY: Final = 1e-4
_WARM_UP: Final = 0.05  # share of the steps in which the rate rises
_LONGEST_GRADIENT: Final = 10.0
_FOCAL_ALPHA: Final = 0.25  # Lin et al. 2017
_FOCAL_GAMMA: Final = 2.0
_BOX_WEIGHT: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FitOptions:
    """`tune` lets the backbone learn too; else it stays as it is, and a one-class model may share it."""

    epochs: int = 40
    tune: bool = True
    turn: bool = True
    crop_px: int = 320
    rate: float = 1e-3
    backbone_rate: float = 3e-4
    threads: int = 2
    seed: int = 0


def fit(
    box_graph: BoxGraph,
    images: Sequence[tuple[Pixels, Boxes]],
    *,
    options: FitOptions,
    checkpoint: Path,
    about: str,
    progress: Progress,
) -> dict[str, F32]:
    """Train on `images` (uint8 (H, W, C) at the network's size, with boxes); the weights by name.

    After each epoch `checkpoint` holds all that is needed to go on, and a later call with the same
    `about` does; each epoch draws from its own random numbers, so that a resumed run ends in the same
    weights. Raises ConfigError for a checkpoint of another training.
    """
    torch.set_num_threads(options.threads)
    network = _Network(box_graph)
    trained = {
        name: weight.requires_grad_(True)
        for name, weight in network.weights.items()
        if name.split(".")[0] in ("neck", "head") or (options.tune and "." in name)
    }
    head = [w for name, w in trained.items() if name.split(".")[0] in ("neck", "head")]
    rest = [w for name, w in trained.items() if name.split(".")[0] not in ("neck", "head")]
    groups = [{"params": head, "lr": options.rate}, {"params": rest, "lr": options.backbone_rate}]
    optimizer = torch.optim.AdamW([g for g in groups if g["params"]], weight_decay=_WEIGHT_DECAY)
    batches = -(-len(images) // _BATCH)
    steps = batches * options.epochs
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
    first = 0
    if checkpoint.exists():
        first = _resume(checkpoint, about, trained, optimizer, schedule)
    for epoch in range(first, options.epochs):
        for done, batch in enumerate(crops(images, options, epoch)):
            progress("Training", epoch * batches + done, steps)
            loss = _loss(network, *batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(list(trained.values()), _LONGEST_GRADIENT)
            optimizer.step()
            schedule.step()
        state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict(), "weights": trained}
        _save(checkpoint, {"about": about, "epoch": epoch + 1, **state})
    progress("Training", steps, steps)
    return {name: weight.detach().numpy().astype(np.float32) for name, weight in trained.items()}


def run_in_torch(box_graph: BoxGraph, weights: dict[str, F32], normalised: F32) -> dict[str, F32]:
    """SCORES and DISTANCES for an image (1, C, H, W) at the network's size and scale, as trained."""
    network = _Network(box_graph)
    network.weights |= {name: torch.from_numpy(weight) for name, weight in weights.items()}
    with torch.no_grad():
        logits, distances = network(torch.from_numpy(normalised))
    return {SCORES: torch.sigmoid(logits).numpy(), DISTANCES: distances.numpy()}


class _Network:
    """Runs the ONNX graph's own nodes in torch, from the normalised image on."""

    def __init__(self, box_graph: BoxGraph) -> None:
        graph = box_graph.model.graph
        self._normalised = box_graph.normalised
        self.weights: dict[str, Any] = {
            tensor.name: torch.from_numpy(numpy_helper.to_array(tensor).copy())
            for tensor in graph.initializer
        }
        self._nodes: list[tuple[onnx.NodeProto, dict[str, Any]]] = []
        wanted = {SCORES, DISTANCES}
        for node in reversed(graph.node):
            if node.output[0] in wanted and node.output[0] != self._normalised:
                self._nodes.insert(0, (node, {a.name: helper.get_attribute_value(a) for a in node.attribute}))
                wanted.update(node.input)
        self._before_sigmoid = next(n.input[0] for n, _ in self._nodes if n.output[0] == SCORES)

    def __call__(self, image: Any) -> tuple[Any, Any]:
        """From (N, C, H, W) normalised to the scores' logits (N, labels, h, w) and DISTANCES."""
        values = {self._normalised: image}
        for node, attributes in self._nodes:
            inputs = [values.get(name, self.weights.get(name)) for name in node.input]
            values[node.output[0]] = _OPERATORS[node.op_type](attributes, *inputs)
        return values[self._before_sigmoid], values[DISTANCES]


def _average(attributes: dict[str, Any], value: Any) -> Any:
    return functional.avg_pool2d(value, attributes["kernel_shape"], attributes["strides"])


def _convolution(attributes: dict[str, Any], value: Any, weight: Any, bias: Any) -> Any:
    side, stride = weight.shape[2], attributes["strides"][0]
    if stride == 1:
        padding = side // 2
    else:  # SAME_UPPER of an even size: one more at the end
        total = side - stride
        value = functional.pad(value, (total // 2, total - total // 2) * 2)
        padding = 0
    return functional.conv2d(value, weight, bias, stride, padding, 1, attributes.get("group", 1))


_OPERATORS: Final[dict[str, Callable[..., Any]]] = {
    "Add": lambda _, a, b: a + b,
    "AveragePool": _average,
    "Clip": lambda _, value, *_limits: functional.relu6(value),
    "Conv": _convolution,
    "Exp": lambda _, value: torch.exp(value.clamp(max=6.0)),
    "Identity": lambda _, value: value,
    "Mul": lambda _, a, b: a * b,
    "Relu": lambda _, value: functional.relu(value),
    "Resize": lambda _, value, *_scales: functional.interpolate(value, scale_factor=2, mode="nearest"),
    "Sigmoid": lambda _, value: value,  # is in the loss
}


def crops(
    images: Sequence[tuple[Pixels, Boxes]], options: FitOptions, epoch: int
) -> Iterator[tuple[Any, Any, Any]]:
    """An epoch's batches: pixels (N, C, side, side) normalised, labels (N, rows, columns) and boxes
    (N, 4, rows, columns)."""
    rng = np.random.default_rng((options.seed, epoch))
    # Square also where the image is lower than a crop: only squares can be turned by a quarter.
    side = min(options.crop_px, *images[0][0].shape[:2])
    size = (side, side)
    order = rng.permutation(len(images))
    for start in range(0, len(order), _BATCH):
        pixels, labels, boxes = [], [], []
        for index in order[start : start + _BATCH]:
            image, found = images[index]
            part, kept, cut = crop(image, found, size, rng, turn=options.turn)
            wanted = targets(kept, cut, size[0], size[1])
            pixels.append(part.transpose(2, 0, 1))
            labels.append(wanted.labels)
            boxes.append(wanted.boxes)
        value = (torch.from_numpy(np.stack(pixels)).float() - _PIXEL_MEAN) / _PIXEL_SCALE
        value = value.contiguous(memory_format=torch.channels_last)
        yield value, torch.from_numpy(np.stack(labels)), torch.from_numpy(np.stack(boxes))


def _loss(network: _Network, pixels: Any, labels: Any, boxes: Any) -> Any:
    """Focal loss on the scores and GIoU loss (Rezatofighi et al. 2019) on the boxes."""
    logits, distances = network(pixels)
    found = labels >= 0
    count = max(int(found.sum()), 1)
    one_hot = functional.one_hot(labels.clamp(min=0), logits.shape[1]).movedim(-1, 1).float()
    one_hot = one_hot * found[:, None]
    p = torch.sigmoid(logits)
    plain = functional.binary_cross_entropy_with_logits(logits, one_hot, reduction="none")
    p_right = p * one_hot + (1 - p) * (1 - one_hot)
    alpha = _FOCAL_ALPHA * one_hot + (1 - _FOCAL_ALPHA) * (1 - one_hot)
    focal = alpha * (1 - p_right) ** _FOCAL_GAMMA * plain * (labels != -2)[:, None]
    loss = focal.sum() / count
    if bool(found.any()):
        rows, columns = labels.shape[1:]
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        centre = torch.stack([x, y, x, y]) * STRIDE + STRIDE / 2
        sign = torch.tensor([-1.0, -1.0, 1.0, 1.0])[:, None, None]
        got = (centre + sign * distances).movedim(1, -1)[found]
        loss = loss + _BOX_WEIGHT * (1 - _giou(got, boxes.movedim(1, -1)[found])).sum() / count
    return loss


def _giou(a: Any, b: Any) -> Any:
    low, high = torch.maximum(a[:, :2], b[:, :2]), torch.minimum(a[:, 2:], b[:, 2:])
    both = (high - low).clamp(min=0).prod(1)
    either = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - both
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(1)
    return both / either.clamp(min=1e-6) - (hull - either) / hull.clamp(min=1e-6)


def _rate(step: int, steps: int) -> float:
    """Rises to 1 at first, then falls to 0 along half a cosine."""
    warm = max(1.0, steps * _WARM_UP)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + float(np.cos(np.pi * (step - warm) / max(steps - warm, 1))))


def _save(path: Path, state: dict[str, Any]) -> None:
    """Whole or not at all: a kill or a power cut while writing leaves the checkpoint before.

    Raises StoreError when the disk refuses.
    """
    data = io.BytesIO()
    torch.save(state, data)
    new = path.with_name(f"{path.name}.new")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with new.open("wb") as file:
                file.write(data.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be written ({error.strerror or error}); make room, or give --models another "
            "folder, and run the same command again"
        ) from error


def _resume(path: Path, about: str, trained: Any, optimizer: Any, schedule: Any) -> int:
    try:
        state = torch.load(path, weights_only=True)
    except (RuntimeError, OSError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise ConfigError(f"{path}: the checkpoint cannot be read; delete it to start over") from error
    if state["about"] != about:
        raise ConfigError(
            f"{path}: belongs to a training with other images or options; delete it to start over"
        )
    with torch.no_grad():
        for name, weight in trained.items():
            weight.copy_(state["weights"][name])
    optimizer.load_state_dict(state["optimizer"])
    schedule.load_state_dict(state["schedule"])
    return int(state["epoch"])
