"""Which outputs of a network of another make mean what, from their names and shapes. Pure."""

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy.typing as npt

from inspector.detect.model.manifest import Activation, Head
from inspector.errors import ModelError

Outputs = Mapping[str, npt.NDArray[Any]]
Roles = dict[str, tuple[str, ...]]

_WORDS: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "detr": {"logits": ("logits", "class", "score"), "boxes": ("box",)},
    "fcos": {"scores": ("cls", "class", "score", "logits"), "distances": ("reg", "box", "dist"),
             "centerness": ("center", "centre", "ctr")},
    "boxes": {"scores": ("score", "conf"), "labels": ("label", "class"), "boxes": ("box", "dets")},
    "anomalib": {"score": ("pred_score", "score"), "map": ("anomaly_map", "map")},
}  # fmt: skip
_OPTIONAL: Final = {"centerness"}
_ACTIVATIONS: Final[dict[str, Activation]] = {
    "detr": "softmax", "fcos": "sigmoid", "classification": "softmax",
}  # fmt: skip


def guess_head(kind: str, head: Head, outputs: Outputs, given: Roles, activation: Activation | None) -> Head:
    """Fill in `decode`, `outputs` and `activation` of `head` from a run's outputs.

    `given` names outputs by role and goes first. Raises ModelError when a role is open.
    """
    if unknown := {name for names in given.values() for name in names} - set(outputs):
        raise ModelError(f"no output {min(unknown)}; the model gives {_shapes(outputs)}")
    labels = len(head.labels)
    decode, roles = kind, given
    if kind == "yolo":
        decode, roles = _yolo(outputs, given, labels)
    elif kind == "classification":
        roles = given or {"scores": (_only(kind, outputs, lambda shape: _size(shape) == labels),)}
    elif not given and kind == "boxes" and len(outputs) == 1:
        roles = {"output": tuple(outputs)}
    elif not given:
        roles = _by_words(kind, outputs)
    how = activation or _ACTIVATIONS.get(kind, "none")
    if kind == "detr" and activation is None:
        columns = outputs[roles["logits"][0]].shape[-1]
        how = "softmax" if columns == labels + 1 else "sigmoid"
    return msgspec.structs.replace(head, decode=decode, outputs=roles, activation=how)


def _yolo(outputs: Outputs, given: Roles, labels: int) -> tuple[str, Roles]:
    """v5: (1, n, 5 + labels); v8: (1, 4 + labels, n). One that has sorted its boxes out: (1, n, 6)."""
    name = given["output"][0] if "output" in given else ""
    for candidate in [name] if name else list(outputs):
        shape = outputs[candidate].shape
        roles: Roles = {"output": (candidate,)}
        if len(shape) == 3 and shape[1] == 4 + labels:
            return "yolo_v8", roles
        if len(shape) == 3 and shape[2] == 5 + labels and (labels != 1 or shape[1] > 300):
            return "yolo_v5", roles
        if len(shape) == 3 and shape[2] == 6:
            return "boxes", roles
    raise ModelError(
        f"the outputs are {_shapes(outputs)}; with {labels} labels YOLO gives "
        f"1x{4 + labels}xN or 1xNx{5 + labels}"
    )


def _by_words(kind: str, outputs: Outputs) -> Roles:
    roles: Roles = {}
    left = list(outputs)
    for role, words in _WORDS[kind].items():
        names = next((found for word in words if (found := [n for n in left if word in n.lower()])), [])
        if not names:
            if role in _OPTIONAL:
                continue
            raise ModelError(
                f"which output is '{role}'? Say --output {role}=NAME; there are {_shapes(outputs)}"
            )
        left = [name for name in left if name not in names]
        if kind != "fcos":
            names = names[:1]
        roles[role] = tuple(sorted(names, key=lambda name: -outputs[name].shape[-1]))  # finest level first
    return roles


def _only(kind: str, outputs: Outputs, fits: Any) -> str:
    found = [name for name, value in outputs.items() if fits(value.shape)]
    if len(found) != 1:
        raise ModelError(
            f"decode {kind} does not fit the outputs {_shapes(outputs)} and the number of labels"
        )
    return found[0]


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for dim in shape:
        size *= dim
    return size


def _shapes(outputs: Outputs) -> str:
    return ", ".join(f"{name} {'x'.join(map(str, value.shape))}" for name, value in outputs.items())
