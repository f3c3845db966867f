"""Does the finished graph judge as the scorer that was fitted in NumPy?"""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.images import read_image
from inspector.detect.model.decode import Decoded, decode
from inspector.detect.model.manifest import Manifest
from inspector.detect.quantizing.gate import require_parity
from inspector.detect.quantizing.parity import Parity
from inspector.detect.risk.calibration import probability
from inspector.detect.teaching.graph import F32
from inspector.detect.teaching.held_out import Scorer, score_images

F16 = npt.NDArray[np.float16]
_MOST: Final = 6


def check_export(
    model: bytes, manifest: Manifest, images: Sequence[Path], features: F16, *, scorer: Scorer, blur: F32
) -> Parity:
    """Compare scores and verdicts on some of `images`, whose projected `features` (N, rows, columns, D) are
    what the scorer was fitted to. Raises ModelError when they differ."""
    step = -(-len(images) // _MOST)
    chosen, kept = images[::step], np.asarray(features[::step], dtype=np.float32)
    reference = [
        Decoded(float(probability(score, manifest.calibration)), float(score), (), None)
        for score in score_images(scorer, kept, blur)
    ]
    run = CpuRun(model, "the new model")
    export = [decode(run(read_image(path, manifest.input)[None]), manifest) for path in chosen]
    return require_parity(reference, export, manifest, f"{manifest.name}: the fitted scorer and its graph")
