"""What a model keeps of its teaching, so that more good parts can be added without the first images.

Kept are the features of each image in half precision and sums, which is all that the scorer, its limit and
the drift reference come from; not the images. A plain NumPy archive without pickled objects.
"""

import hashlib
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final, Literal

import msgspec
import numpy as np
import numpy.typing as npt

from inspector.detect.model.manifest import Calibration, InputLayout
from inspector.detect.model.model_folder import MEMORY_NAME
from inspector.detect.teaching.balance import F16, Rehearsal
from inspector.detect.teaching.detail import DetailSums
from inspector.detect.teaching.discriminator import Discriminator
from inspector.detect.teaching.features import Projection, Trunk, feature_graph
from inspector.detect.teaching.graph import F32
from inspector.detect.teaching.held_out import Judges, Method
from inspector.detect.teaching.synthetic import Synthetic
from inspector.errors import ModelError

MOST_BYTES: Final = 256_000_000  # 500 images at the usual size take 100 MB
_LAYERS: Final = 3


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the arrays belong to: `model_sha256` the graph, `features_sha256` how features are made."""

    format: Literal[1, 2] = 2  # 1 had no rehearsal
    model_sha256: str = ""
    features_sha256: str
    layout: InputLayout
    network_width: int
    network_height: int
    method: Method
    false_reject_rate: float
    defect_share: float
    calibration: Calibration  # as teaching set it
    known: int = 0
    half: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Features (N, rows, columns, D) of good and defective images, in the order they came, with the hashes
    of their pixels; those of images with made-up defects. `judges` with the `made_up_scores` of what they
    learned from, where a discriminator was taught; `detail` and its `rehearsal` where the map has it."""

    about: About
    projection: Projection
    good: F16
    good_hashes: tuple[str, ...]
    defect: F16
    defect_hashes: tuple[str, ...]
    synthetic: Synthetic
    detail: DetailSums | None
    rehearsal: Rehearsal | None
    judges: Judges | None = None
    made_up_scores: npt.NDArray[np.float64] | None = None

    @property
    def size_bytes(self) -> int:
        """About how much the file takes."""
        return sum(array.nbytes for array in self._arrays().values())

    def save(self, file: BinaryIO, model: bytes) -> None:
        """Write it as what belongs to the graph `model`."""
        about = msgspec.structs.replace(self.about, model_sha256=hashlib.sha256(model).hexdigest())
        text = np.frombuffer(msgspec.json.encode(about), dtype=np.uint8)
        np.savez(file, allow_pickle=False, about=text, **self._arrays())

    def _arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "matrix": self.projection.matrix,
            "bias": self.projection.bias,
            "good": self.good,
            "good_hashes": np.array(self.good_hashes, dtype=np.str_),
            "defect": self.defect,
            "defect_hashes": np.array(self.defect_hashes, dtype=np.str_),
            "synthetic": self.synthetic.features.astype(np.float16),
            "origin": self.synthetic.origin,
            "change": self.synthetic.change.astype(np.float16),
        }
        if self.projection.coarse is not None:
            arrays["coarse_matrix"] = self.projection.coarse.matrix
            arrays["coarse_bias"] = self.projection.coarse.bias
        if self.detail is not None:
            arrays["detail_total"] = self.detail.total
            arrays["detail_products"] = self.detail.products
            arrays["detail_count"] = np.array(self.detail.count)
        if self.rehearsal is not None:
            arrays["rehearsed_good"] = self.rehearsal.good
            arrays["rehearsed_made_up"] = self.rehearsal.made_up
            arrays["rehearsed_change"] = self.rehearsal.change
        if self.judges is not None and self.made_up_scores is not None:
            arrays["made_up_scores"] = self.made_up_scores
            for name, judge in _named(self.judges).items():
                for index in range(_LAYERS):
                    arrays[f"{name}_weight_{index}"] = judge.weights[index]
                    arrays[f"{name}_bias_{index}"] = judge.biases[index]
        return arrays


def features_sha256(trunk: Trunk) -> str:
    """Of all that turns an image into features: sizes, backbone, and this version's way."""
    return hashlib.sha256(feature_graph(trunk)).hexdigest()


def load_memory(folder: Path, model_sha256: str) -> Memory:
    """Read what the model in `folder` keeps. Raises ModelError, one line, when there is none, when it is of
    another graph, or damaged."""
    path = folder / MEMORY_NAME
    again = "teach from all images at once, with --good"
    try:
        with np.load(path, allow_pickle=False) as arrays:
            memory = _read({name: arrays[name] for name in arrays.files})
    except ModelError as error:
        raise ModelError(f"{path}: {error}; {again}") from error
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file, and nothing can be added without it; {again}") from error
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise ModelError(f"{path}: is damaged ({str(error)[:120]}); {again}") from error
    if memory.about.model_sha256 != model_sha256:
        raise ModelError(f"{path}: belongs to another model than the one beside it; {again}")
    return memory


def _read(arrays: dict[str, npt.NDArray[np.generic]]) -> Memory:
    about = msgspec.json.decode(arrays["about"].tobytes(), type=About)
    rows, columns = about.network_height // 8, about.network_width // 8
    projection = Projection(_f32(arrays["matrix"]), _f32(arrays["bias"]))
    if "coarse_bias" in arrays:
        coarse = Projection(_f32(arrays["coarse_matrix"]), _f32(arrays["coarse_bias"]))
        projection = replace(projection, coarse=coarse)
    depth = projection.depth
    for name in ("good", "defect", "synthetic"):
        if arrays[name].shape[1:] != (rows, columns, depth):
            raise ValueError(f"{name} has shape {arrays[name].shape}")
    for name in ("good", "defect"):
        if len(arrays[name]) != len(arrays[f"{name}_hashes"]):
            raise ValueError(f"{name} and its hashes differ in number")
    detail, rehearsal = None, None
    if "detail_count" in arrays:
        if about.format == 1:
            raise ModelError("was written by an older version")
        rehearsed = (
            np.asarray(arrays[f"rehearsed_{name}"], np.float16) for name in ("good", "made_up", "change")
        )
        rehearsal = Rehearsal(*rehearsed)
        if len(rehearsal.good) != len(arrays["good"]) or len(rehearsal.made_up) != len(arrays["synthetic"]):
            raise ValueError("its rehearsal is of other images")
        detail = DetailSums(
            int(np.asarray(arrays["detail_count"], dtype=np.int64)),
            np.asarray(arrays["detail_total"], dtype=np.float64),
            np.asarray(arrays["detail_products"], dtype=np.float64),
        )
    judges, scores = None, None
    if "made_up_scores" in arrays:
        scores = np.asarray(arrays["made_up_scores"], dtype=np.float64)
        each = [_discriminator(arrays, name) for name in ("early", "late", "final")]
        judges = Judges(about.known, about.half, *each)
    return Memory(
        about=about,
        projection=projection,
        good=np.asarray(arrays["good"], dtype=np.float16),
        good_hashes=tuple(str(value) for value in arrays["good_hashes"]),
        defect=np.asarray(arrays["defect"], dtype=np.float16),
        defect_hashes=tuple(str(value) for value in arrays["defect_hashes"]),
        synthetic=Synthetic(
            _f32(arrays["synthetic"]), np.asarray(arrays["origin"], dtype=np.int64), _f32(arrays["change"])
        ),
        detail=detail,
        rehearsal=rehearsal,
        judges=judges,
        made_up_scores=scores,
    )


def _discriminator(arrays: dict[str, npt.NDArray[np.generic]], name: str) -> Discriminator:
    weights = [_f32(arrays[f"{name}_weight_{index}"]) for index in range(_LAYERS)]
    biases = [_f32(arrays[f"{name}_bias_{index}"]) for index in range(_LAYERS)]
    return Discriminator((weights[0], weights[1], weights[2]), (biases[0], biases[1], biases[2]))


def _named(judges: Judges) -> dict[str, Discriminator]:
    return {"early": judges.early, "late": judges.late, "final": judges.final}


def _f32(value: npt.NDArray[np.generic]) -> F32:
    return np.asarray(value, dtype=np.float32)
