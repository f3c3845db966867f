"""How much each half of the map counts, and the scale of the map, as told by made-up defects. Pure.

On even material a defect shows in its detail; on material with edges and grain of its own detail tells
nothing, and only large patches do. Good parts alone do not say which: images with made-up defects do
(synthetic.py), judged by halves that have not seen the good image that each was made from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from inspector.detect.evaluating.pixel_figures import aupro, regions_of
from inspector.detect.risk.calibration import Floats
from inspector.detect.teaching.graph import F32, GraphBuilder
from inspector.detect.teaching.synthetic import CHANGED, UNCHANGED

F16 = npt.NDArray[np.float16]
_DETAIL_ALONE: Final = (1.0, 0.0)
_COARSE_ALONE: Final = (0.0, 1.0)
_RATIOS: Final = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # coarse to detail
_LEAST: Final = 1e-6
_GAINS: Final = (1.0, 4.0)  # the map is stretched, never compressed: defects would sink under the limit


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What detail says of images that it has not seen, at half the grid's cell size.

    `good` (N, 2 rows, 2 columns): distances of each good image from the mean of the others. `made_up` (M,
    ...): of those with made-up defects, from the mean without the good image each was made from. `change`
    (M, ...): how far each cell was changed, in grey levels.
    """

    good: F16
    made_up: F16
    change: F16

    def take(self, chosen: npt.NDArray[np.int64]) -> "Rehearsal":
        """With the chosen ones of those made up."""
        return Rehearsal(self.good, self.made_up[chosen], self.change[chosen])

    def __add__(self, more: "Rehearsal") -> "Rehearsal":
        return Rehearsal(
            np.concatenate([self.good, more.good]),
            np.concatenate([self.made_up, more.made_up]),
            np.concatenate([self.change, more.change]),
        )


@dataclass(frozen=True, slots=True)
class Balance:
    """The map is scale * detail**detail_power * coarse**coarse_power."""

    detail_power: float = 0.5
    coarse_power: float = 0.5
    scale: float = 1.0

    def of(self, detail: F32, coarse: F32) -> F32:
        """Both of one shape."""
        product = self.scale * detail**self.detail_power * coarse**self.coarse_power
        return np.asarray(product, dtype=np.float32)

    def add_to(self, graph: GraphBuilder, detail: str | None, coarse: str | None) -> str:
        """The same inside the graph; what counts for nothing is None."""
        halves = [
            graph.add("Sqrt", value) if power == 0.5 else graph.add("Pow", value, graph.number(power))
            for value, power in ((detail, self.detail_power), (coarse, self.coarse_power))
            if value is not None
        ]
        product = halves[0] if len(halves) == 1 else graph.add("Mul", *halves)
        return product if self.scale == 1.0 else graph.add("Mul", product, graph.number(self.scale))


def find_balance(
    rehearsal: Rehearsal,
    coarse_good: Sequence[F32],
    coarse_made_up: Sequence[F32],
    good_scores: Floats,
    made_up_scores: Floats,
) -> Balance:
    """The powers that rank the cells of made-up defects best (AUPRO, as pixel_figures.py has it).

    Coarse distances are of the rehearsal's images, in its shape; scores of the same images by models without
    them. The map's peaks are then brought to where the scores lie, at the median of good parts and, where
    they would fall short, at that of made-up defects: so a limit of the score is one of the map, and what is
    rejected shows where.
    """
    good, made_up = (
        [(_log(own), _log(other)) for own, other in zip(detail, coarse, strict=True)]
        for detail, coarse in ((rehearsal.good, coarse_good), (rehearsal.made_up, coarse_made_up))
    )
    change = rehearsal.change.astype(np.float32)
    mixed = [(1.0 / (1.0 + ratio), ratio / (1.0 + ratio)) for ratio in _RATIOS]
    powers = max(
        (_DETAIL_ALONE, *mixed, _COARSE_ALONE), key=lambda powers: _ranked(_mixed(made_up, powers), change)
    )
    of_good, of_made_up = (
        float(np.median([one.max() for one in _mixed(halves, powers)])) for halves in (good, made_up)
    )
    wanted_good, wanted_made_up = (float(np.median(_log(scores))) for scores in (good_scores, made_up_scores))
    gain = 1.0
    if of_made_up - of_good > _LEAST:
        gain = float(np.clip((wanted_made_up - wanted_good) / (of_made_up - of_good), *_GAINS))
    scale = float(np.exp(wanted_good - gain * of_good))
    return Balance(gain * powers[0], gain * powers[1], scale)


def _log(values: npt.NDArray[np.floating]) -> F32:
    return np.log(np.maximum(values.astype(np.float32), _LEAST))


def _mixed(halves: Sequence[tuple[F32, F32]], powers: tuple[float, float]) -> list[F32]:
    return [powers[0] * detail + powers[1] * coarse for detail, coarse in halves]


def _ranked(maps: Sequence[F32], change: F32) -> float:
    """AUPRO of made-up defects; cells that may or may not show one do not count. 0 without any."""
    regions = [
        scores
        for one, by in zip(maps, change, strict=True)
        for scores in regions_of(one, np.asarray(by > CHANGED))
    ]
    normal = np.sort(np.concatenate([one[by < UNCHANGED] for one, by in zip(maps, change, strict=True)]))
    return aupro(normal, regions) if regions and len(normal) else 0.0
