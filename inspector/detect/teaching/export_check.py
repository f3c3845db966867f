"""Does the finished graph judge as the scorer that was fitted in NumPy?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.images import read_image
from inspector.detect.model.decode import Decoded, decode
from inspector.detect.model.manifest import Manifest
from inspector.detect.quantizing.gate import require_parity
from inspector.detect.quantizing.parity import Parity
from inspector.detect.risk.calibration import probability
from inspector.detect.teaching.features import Projection, Trunk, extract
from inspector.detect.teaching.graph import F32
from inspector.detect.teaching.held_out import Scorer, score_images

_MOST: Final = 6


def check_export(
    model: bytes,
    manifest: Manifest,
    images: Sequence[Path],
    *,
    trunk: Trunk,
    projection: Projection,
    scorer: Scorer,
    blur: F32,
) -> Parity:
    """Compare scores and verdicts on some of `images`. Raises ModelError when they differ."""
    chosen = (
        [images[index * len(images) // _MOST] for index in range(_MOST)] if len(images) > _MOST else images
    )
    pixels = [read_image(path, trunk.layout) for path in chosen]
    features = np.stack(list(extract(trunk, pixels, threads=2, projection=projection)))
    reference = [
        Decoded(float(probability(score, manifest.calibration)), float(score), (), None)
        for score in score_images(scorer, features, blur)
    ]
    run = CpuRun(model, "the new model")
    export = [decode(run(image[None]), manifest) for image in pixels]
    return require_parity(reference, export, manifest, f"{manifest.name}: the fitted scorer and its graph")
