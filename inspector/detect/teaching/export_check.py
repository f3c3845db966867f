"""Does the finished graph judge as the scorer that was fitted in NumPy?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.images import read_image
from inspector.detect.model.decode import decode_anomaly_map
from inspector.detect.model.manifest import SCORE_MAP, Manifest
from inspector.detect.quantizing.gate import decoded_all, require_parity
from inspector.detect.quantizing.parity import Parity
from inspector.detect.risk.calibration import score_at
from inspector.detect.teaching.features import Trunk, extract_detail
from inspector.detect.teaching.fine_map import FineMap
from inspector.detect.teaching.graph import F32
from inspector.detect.teaching.held_out import Scorer, score_images, score_maps
from inspector.detect.teaching.packing import FINE_DEPTH, unpack
from inspector.detect.teaching.two_scales import TwoScales
from inspector.errors import ModelError

F16 = npt.NDArray[np.float16]
_MOST: Final = 6
_MOST_MAP_DIFFERENCE: Final = 0.05  # rounding stays under 0.005


def check_export(
    model: bytes,
    manifest: Manifest,
    images: Sequence[Path],
    features: F16,
    *,
    trunk: Trunk,
    scorer: Scorer,
    blur: F32,
    fine_map: FineMap | None,
) -> Parity:
    """Compare scores, heat maps and verdicts on some of `images`, whose projected `features` (N, rows,
    columns, D) are what the scorer was fitted to. Raises ModelError when they differ."""
    step = -(-len(images) // _MOST)
    kept = np.asarray(features[::step], dtype=np.float32)
    pixels = [read_image(path, manifest.input) for path in images[::step]]
    if fine_map is None:
        assert not isinstance(scorer, TwoScales)
        maps = list(score_maps(scorer, kept, blur))
    else:
        details = extract_detail(trunk, pixels, threads=2)
        maps = [fine_map.map(*three) for three in zip(details, *unpack(kept, FINE_DEPTH), strict=True)]
    reference = [
        decode_anomaly_map(float(score), score_map, manifest)
        for score, score_map in zip(score_images(scorer, kept, blur), maps, strict=True)
    ]
    run = CpuRun(model, "the new model")
    outputs = [run(image[None]) for image in pixels]
    what = f"{manifest.name}: the fitted scorer and its graph"
    # Where a bank holds every patch of few images, their own maps are only rounding: what counts is how
    # far a difference goes towards the limit that boxes are cut at.
    scale = score_at(manifest.thresholds["box"], manifest.calibration)
    off = max(
        float(np.abs(score_map - found[SCORE_MAP]).max()) / max(scale, float(score_map.max()))
        for score_map, found in zip(maps, outputs, strict=True)
    )
    if not off <= _MOST_MAP_DIFFERENCE:  # the probabilities of good parts would not tell: all are near 0
        raise ModelError(f"{what} give maps that differ by {off:.1%}; nothing was written")
    return require_parity(reference, decoded_all(outputs, manifest), manifest, what)
